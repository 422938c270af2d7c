"""What is a request, and what is an answer? This room has messages, strict JSON and negotiation.

Nothing here knows a socket or API Gateway.
"""
