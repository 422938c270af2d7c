"""What is a request, and what an answer? Messages, strict JSON and content negotiation.

Nothing here knows a socket or API Gateway.
"""
