"""The work of `pytp-broker proxy`: an index on this machine for clients that know the legacy form.

``server`` takes a client's requests, ``forms`` writes the file of a form to the disk while it
arrives, and ``relay`` brings the file to the registry and returns what the registry answers.
"""
