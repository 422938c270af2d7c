"""What is published? Taking files (``publishing``), showing them (``reading``) and judging them.

``archives`` looks inside wheels and sdists; ``releases`` says which files belong together.
"""
