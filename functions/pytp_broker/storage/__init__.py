"""Where is it kept? This room says what a store must do, and has the store of one machine.

The store of one machine is SQLite and a folder. The store on AWS is in ``aws``.
"""
