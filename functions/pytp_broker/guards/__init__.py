"""May this token do this in another index? Guards of pypiserver and devpi-server.

A guard runs inside the other index and asks the registry's introspection (RFC 7662) about every
token. ``settings`` says which registry that is, and ``introspection`` asks it. ``judging`` is the
story of an upload: a token, a form, and three names that must be the same. ``pypiserver`` is a WSGI
application around pypiserver's own, with ``one_form``, ``wsgi_calls`` and ``web_server`` beside it,
and ``devpi`` is a plug-in of devpi-server, with ``devpi_requests``; ``answers`` writes refusals.

A guard fails closed: where the registry does not answer, nothing is uploaded and nothing private is
read. It reads forms and archives with ``index``, so that a guard and the registry cannot understand
one file in two ways.
"""
