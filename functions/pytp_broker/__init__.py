"""Trusted Publishing for any Python package registry.

A CI job publishes without a stored secret:

    CI job                      broker                              store
      │  GET  …/_/oidc/audience   │                                    │
      │ ────────────────────────> │  for whom a token must be signed   │
      │                           │                                    │
      │  (asks its CI for an identity token for that audience)         │
      │                           │                                    │
      │  POST …/_/oidc/mint-token │  issuer allowed? key? signature?   │
      │ ────────────────────────> │  audience, times, publishers  ───> │ one query
      │ <──────────────────────── │  a new upload token's hash    ───> │ one conditional write
      │       upload token        │                                    │
      │                           │                                    │
      │  POST …/legacy/           │  right to upload?             ───> │ one read
      │ ────────────────────────> │  the file, then its record    ───> │ visible at once
      │                           │                                    │
      │  POST …/_/oidc/burn-token │  the token is dead            ───> │

``exchange`` tells the middle of it. ``registries`` says what a request is addressed to,
``identity`` and ``keysets`` turn an unverified token into signed claims, ``providers`` and
``publishers`` decide whose they are, ``tokens`` is what comes out, ``index`` takes the files.
``handlers`` are the endpoints; ``aws``, ``embedded``, ``local`` and ``cli`` are the edges.
"""

__version__ = "0.1.0"
