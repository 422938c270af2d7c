"""What happened? The audit records: one for every request that decides, and for every change.

``record`` turns an event into its record, ``facts`` says what each field means, and the other files
have one class for each event. ``docs/audit.md`` and ``docs/audit.schema.json`` are made from them.
"""
