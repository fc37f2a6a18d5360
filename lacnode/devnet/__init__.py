"""Whole networks on one machine, for people and for CI.

The nodes of a devnet are ordinary nodes, with Besu's own `config.toml`, genesis and key files on disk. This package
makes the nodes, watches them, and injects faults. In addition, `hosted_node` can stop a node without its process, take
it back and move its clock, and the genesis names an account that may change the state. A node of another network has
none of this.
"""
