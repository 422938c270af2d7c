"""Where is it kept? What a store must do, and the store of one machine: SQLite and a folder.

The store on AWS is in ``aws``, the only room that imports boto3.
"""
