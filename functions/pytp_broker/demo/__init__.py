"""What does it look like? This room shows the whole story on one screen.

The tests use its issuer, its packages and its server process too.
"""
