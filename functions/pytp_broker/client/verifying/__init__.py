"""The work of `pytp-broker verify`: files in, a verdict for each out.

``targets`` finds the files that are meant, also those that a lock file allows (``lock_files``,
``requirement_files``). ``index_evidence`` fetches receipts and keys from a registry, and
``kept_evidence`` reads them from the disk. ``verifier`` judges each file by them, ``policy`` says
whom the user expects, and ``report`` says it in words and as JSON.

Nothing is good by default: a file that nothing is known about is not verified.
"""
