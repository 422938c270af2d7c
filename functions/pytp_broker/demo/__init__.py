"""What does it look like? The whole story on one screen, and the stage that it is played on.

The stage (an issuer, packages, a server process) serves the tests as well.
"""
