"""What is published? This room takes files (``publishing``) and shows them (``reading``).

``archives`` checks what is inside wheels and sdists. ``releases`` says which files belong together.
"""
