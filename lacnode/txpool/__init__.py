"""Pending transactions: who gets in, who makes room, and in which order blocks take them.

Follows Besu's sequenced pool. Must not ask for the time, reach for the network, or execute anything.
"""
