"""The pages for people: what a registry has, who published it, and how to install it.

``website`` finds what a page shows, and ``pages`` fills the templates. A description is hostile
text: ``describe`` renders it in a process of its own.
"""
