"""Backups of the data folder of one machine.

A backup is a folder with one point in time::

    backup.json      which files it has, with their hashes; written last, so it makes the backup
    database/ID      the database of that moment
    files/KEY        the bytes of uploads, receipts and attestations, under the keys of the store
    keys/ID/         the authority's key and the private keys of receipts

``making`` writes one while the server runs, ``checking`` reads all of it, ``restoring`` makes a
data folder of it. Bytes under a key never change, so a second backup copies only new keys.
"""
