"""What happened? This room makes a record of each request that decides, and of each change.

``record`` turns an event into its record, ``facts`` says what each field means, and the other files
have one class for each event. ``docs/audit.md`` and ``docs/audit.schema.json`` are made from them.
"""
