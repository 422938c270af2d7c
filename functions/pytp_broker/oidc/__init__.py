"""Who is asking? This room verifies identity tokens with the keys of the issuers that sign them.

The result is ``SignedClaims``; nothing here knows what rights they give.
"""
