"""The embedded database and the consensus log: tables, atomic batches, stable snapshots, one lock.

This package stores bytes under keys in named tables and does not know what they mean. It never opens files of Besu.
"""
