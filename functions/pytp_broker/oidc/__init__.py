"""Who is asking? Identity tokens, and the key sets of the issuers that sign them.

What comes out is ``SignedClaims``; nothing here knows what they are good for.
"""
