"""May they? This room finds the trusted publishers that match the claims of an identity token.

``providers`` has what we know of each kind of CI service. ``rules`` compares a publisher with the
claims, ``matching`` decides, and ``diagnosis`` says why nothing matched.
"""
