"""Flexible groups: their members stand in a contract of their own private state, and change by private transactions.

Follows Besu's flexible (once "on-chain") privacy groups as of 24.1. A node has either these or the managers' groups.
Must not be reached by what the managers' groups do: `GroupMode` is asked first.
"""
