"""How does it run on AWS? This room has the functions' entry points, and stores on DynamoDB and S3.

No other room imports Powertools. Only ``local`` and ``cli``, which open these stores, import boto3.
"""

from pytp_broker.aws.dataclass_code import use_kept_code

# Before any other module is imported: each function's entry point is in this room.
use_kept_code()
