"""Local mode: the same handlers behind a server on this machine."""
