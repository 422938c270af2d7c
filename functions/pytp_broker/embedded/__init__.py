"""The embedded store and files: SQLite and a folder, with no service to start."""
