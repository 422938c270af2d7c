"""Calls to services of AWS without boto3, for functions that must start and answer quickly.

``dynamodb.py``, ``s3.py``, ``kms.py`` and ``lambdas.py`` are clients: their methods have the names
and the keyword arguments of boto3's, so a store works with either. A call goes through these files:

- ``json_calls.py`` writes its JSON and reads that of the answer (``xml_documents.py`` S3's XML),
- ``calls.py`` makes at most two attempts, by a deadline,
- ``signing.py`` signs each attempt with what ``credentials.py`` finds,
- ``connections.py`` sends it over a kept connection to an endpoint of ``endpoints.py``,
- ``answers.py`` reads HTTP.

A call that fails raises an error of ``errors.py``. Operators' commands use boto3, because they find
credentials in profiles and ask many services; ``aws/boto.py`` turns its errors into these.
"""
