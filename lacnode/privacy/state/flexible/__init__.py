"""Flexible groups. A contract in the group's own private state lists the members, and private transactions change them.

Follows Besu's flexible (before: on-chain) privacy groups of version 24.1. A node has either flexible groups or the manager's
groups. No code for the manager's groups may use this package: `GroupMode` decides first.
"""
