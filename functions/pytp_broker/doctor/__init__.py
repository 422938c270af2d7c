"""What is wrong with it? This room has the checks of ``pytp-broker doctor``, which change nothing.

``catalogue`` lists the checks: data, with a small function for each. ``visit`` is what they look
at: a broker's URL, its store, its data folder, its stack. ``runner`` lets them look side by side,
each within its own time, and ``findings`` is what they tell.
"""
