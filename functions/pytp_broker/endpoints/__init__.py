"""What is at this URL? This room has a file for each Lambda function: its handlers and routes.

``events`` reads API Gateway's events, ``routing`` finds the handler and leaves the audit record.
``index_pages`` has what the read and the web function share, ``problem_pages`` writes a refusal for
a person, and ``addresses`` says which address is right.
"""
