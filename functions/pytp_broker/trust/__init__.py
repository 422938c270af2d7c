"""May they? This room finds the trusted publishers that match the claims of an identity token.

``providers`` has what we know of each kind of CI service, ``findings`` compares one publisher's
rules with the claims, ``matching`` decides, and ``diagnosis`` says why nothing matched.
"""
