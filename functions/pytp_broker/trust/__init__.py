"""May they? Trusted publishers, and how the claims of an identity token match them.

``providers`` lists what each kind of CI service signs; ``diagnosis`` says why nothing matched.
"""
