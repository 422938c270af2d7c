"""The embedded store: one SQLite file.

``layout`` has its tables, ``database`` its connections; each other file has the calls of one part.
"""

from pytp_broker.storage.sqlite.configuration_tables import ConfigurationTables
from pytp_broker.storage.sqlite.file_tables import FileTables
from pytp_broker.storage.sqlite.key_set_tables import KeySetTables
from pytp_broker.storage.sqlite.operator_tables import OperatorTables
from pytp_broker.storage.sqlite.publisher_tables import PublisherTables
from pytp_broker.storage.sqlite.receipt_key_tables import ReceiptKeyTables
from pytp_broker.storage.sqlite.session_tables import SessionTables
from pytp_broker.storage.sqlite.survey_tables import SurveyTables
from pytp_broker.storage.sqlite.token_tables import TokenTables


class SqliteStore(
    ConfigurationTables,
    PublisherTables,
    TokenTables,
    KeySetTables,
    FileTables,
    SessionTables,
    ReceiptKeyTables,
    OperatorTables,
    SurveyTables,
):
    """A Store in one SQLite file."""
