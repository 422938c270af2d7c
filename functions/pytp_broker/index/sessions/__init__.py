"""Publishing sessions: a release is staged file by file, and becomes visible in one step (PEP 694).

- ``creating`` begins a session for one version of a project, or finds the one that is there.
- ``entering`` is the beginning of each further request: which session, and may the caller?
- ``uploads`` announces a file, receives its bytes and deletes it; ``announcements`` says what a
  client must tell of it first.
- ``completing`` lets the bytes be checked: by ``checking`` at once, or by ``verifying`` later.
- ``legacy`` stages a file that comes by the legacy API.
- ``publishing`` makes all files visible together; ``ending`` cancels a session and extends it.

``transitions`` has the changes of a session as functions from one record to the next, and
``changing`` writes them. A caller's right is checked on every request, against the project and not
against the token that began the session, so several publishers may work in one session.
"""
