"""The composition root: builds every room from a configuration and owns the nursery they run in.

Holds no logic of its own: what is decided here is only who knows whom.
"""
