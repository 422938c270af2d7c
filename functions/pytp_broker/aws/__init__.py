"""How does it run on AWS? This room has the functions' entry points, and stores on DynamoDB and S3.

No other room imports boto3. ``local`` and ``cli`` open these stores.
"""

from pytp_broker.aws.dataclass_code import use_kept_code

# Before any other module is imported: each function's entry point is in this room.
use_kept_code()
