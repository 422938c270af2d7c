"""The work of `pytp-broker publish`: from files on the disk to a release that installers see.

``selection`` finds the files and ``checks`` looks at each before anything is sent. ``destination``
asks the registry what it offers, ``credentials`` gets a token, and ``plan`` compares the files with
what is published. ``staging`` brings all files of all releases into their sessions at the same
time, ``finishing`` publishes these, and ``publisher`` tells the story in order. ``progress`` shows
how it goes on, and ``report`` says what became of each file.
"""
