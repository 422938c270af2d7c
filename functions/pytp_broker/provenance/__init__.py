"""Who published it, and how can anyone check that? A registry signs a receipt for each file.

The registry makes receipts with this room, and ``pytp-broker verify`` checks them with it. So it
knows neither a store nor a request, and only a few of its files need a library.
"""
