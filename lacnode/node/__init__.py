"""The composition root: builds every part from a configuration and owns the nursery in which the parts run.

Holds no logic of its own: it decides only which part uses which.
"""
