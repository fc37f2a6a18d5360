"""The embedded database and the consensus write-ahead log: tables, atomic batches, stable snapshots, one lock.

Knows bytes under keys in named tables and nothing about what they mean. Never opens what Besu wrote.
"""
