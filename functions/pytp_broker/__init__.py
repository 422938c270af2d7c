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

``exchange`` is the middle of this story, ``access`` says what a token may do now, and ``services``
is what the endpoints work with. These are the rooms; each imports only those below it:

    cli         what does an operator type?
    demo        what does it look like?
    doctor      what is wrong with it?
    local       how does it run on one machine?
    client      what runs in a CI job or on a laptop?
    guards      may this token do this in another index?
    aws         how does it run on AWS?
    endpoints   what is at this URL?
    index       what is published?
    config      what did the operator write?
    storage     where is it kept?
    trust       may they?
    oidc        who is asking?
    http        what is a request, and what is an answer?
    audit       what happened?
    provenance  who published it, and how can anyone check that?
"""

__version__ = "0.2.0"
