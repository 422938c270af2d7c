"""The DynamoDB store of an operator's commands; no function imports it."""

from pytp_broker.aws.dynamodb import RuntimeDynamoStore
from pytp_broker.aws.dynamodb.applying import Applying
from pytp_broker.aws.dynamodb.operator_rows import OperatorRows
from pytp_broker.aws.dynamodb.survey_rows import SurveyRows


class DynamoStore(Applying, RuntimeDynamoStore, OperatorRows, SurveyRows):
    """A complete Store: what the functions call, and what only an operator may do."""
