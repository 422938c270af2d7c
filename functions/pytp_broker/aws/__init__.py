"""How does it run on AWS? This room has the functions' entry points, and stores on DynamoDB and S3.

No other room imports Powertools. Only ``local`` and ``cli``, which open these stores, import boto3.
"""
