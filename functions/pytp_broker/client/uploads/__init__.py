"""The wire of uploads: PEP 694's Upload API 2.0, and the form of the legacy API.

``wire`` sends requests, and ``bodies`` reads what they carry from the disk, piece by piece.
``answers`` reads what a server says and believes none of it unchecked: a link to another host
gets no token. ``api`` has a method for each request of the Upload API, ``sending`` brings one file
into a session, also one that another run has begun, and ``legacy`` sends one file as a form.
``pages`` reads which files an index has.
"""
