"""Pending transactions: which may enter, which are removed when the pool is full, and their order for blocks.

It follows Besu's sequenced pool. This package must not read a clock, use the network, or execute anything.
"""
