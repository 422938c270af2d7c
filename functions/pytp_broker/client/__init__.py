"""What runs in a CI job or on a laptop? The client: it fetches tokens for other programs.

``keyring`` is the backend that twine, poetry, hatch, uv and pip ask for a password, and
``job_tokens`` answers it: ``locations`` says what the URL is that they ask for, ``registry`` asks
the registry for its audience and exchanges, ``ambient`` finds the job's identity token, and
``token_cache`` keeps what a job can get only once. ``transport`` sends every request about a token,
and ``uploads`` has the wire of uploads.

This room runs where the broker does not: it knows the broker by its URLs alone, and works with the
base dependencies.

``publishing`` is the work of `pytp-broker publish`, and ``verifying`` that of `verify`, which alone
needs more than the base dependencies. For `run`, ``lent_tokens`` gives a command a token and burns
it at the end, ``child_process`` runs the command, ``credentials`` knows the variables of each
upload client, and ``log_masks`` how a CI hides a token. ``proxy`` is an index on this machine, for
clients that do not speak the Upload API.

``keyring`` is imported by whichever program asks, so nothing here imports a library before a URL
looks like a registry's.
"""
