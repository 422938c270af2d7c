"""What is at this URL? One file for each Lambda function, with its handlers and routes.

``events`` reads API Gateway's events, ``routing`` finds the handler and leaves the audit record.
"""
