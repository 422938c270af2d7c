"""Who is asking? Identity tokens, and the key sets of the issuers that sign them.

The result is ``SignedClaims``; nothing here knows what rights they give.
"""
