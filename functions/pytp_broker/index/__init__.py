"""What is published? This room takes files (``publishing``) and finds them again (``reading``).

``importing`` takes the files of another index. ``inspection`` checks a file by its name and
content, with the readers in ``archives``, and ``storing`` keeps it. ``releases`` says which files
belong together, and ``pages`` writes what installers read.
"""
