"""Whole networks on one machine, for people and for CI.

The nodes of a devnet are ordinary nodes, with Besu's own `config.toml`, genesis and key files on disk. A devnet differs
from a real network only in its place. This package makes the nodes, watches them, and injects faults. Must not contain a
special mode of the node.
"""
