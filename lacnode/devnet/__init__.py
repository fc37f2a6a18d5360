"""Whole networks on one machine, for people and for CI.

A devnet's nodes are the node everybody runs, with Besu's own `config.toml`, genesis and key files on disk: it differs
from a real network in nothing but where it runs. What is special here is only how the nodes are made, watched and
broken on purpose.
"""
