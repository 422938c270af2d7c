"""What is at this URL? The routes of each Lambda function, and a small handler for each.

``events`` reads API Gateway's events, ``routing`` finds the handler and leaves the audit record.
"""
