"""What is at this URL? This room has a file for each Lambda function: its handlers and routes.

``events`` reads API Gateway's events, ``routing`` finds the handler and leaves the audit record.
"""
