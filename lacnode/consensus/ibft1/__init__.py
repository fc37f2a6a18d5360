"""IBFT 1 (EIP-650) as GoQuorum has it, for the past of a chain: extra data, hashes, and the rules for headers.

This node verifies and keeps blocks of IBFT 1. It does not make them: a network comes to QBFT by a transition.
"""
