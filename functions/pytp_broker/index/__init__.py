"""What is published? This room takes files (``publishing``) and finds them again (``reading``).

``inspection`` checks a file by its name and content, with the readers in ``archives``. ``releases``
says which files belong together, and ``pages`` writes what installers read.
"""
