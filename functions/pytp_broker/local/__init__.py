"""How does it run on one machine? This room serves the endpoints in place of API Gateway.

Its server selects routes, limits what each client may use, and makes and renews certificates.
"""
