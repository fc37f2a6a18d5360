"""QBFT as Besu and GoQuorum speak it: extra data, hashes, messages and the rules for messages.

The package is pure, like all of `lacnode/consensus`. docs/spec/qbft.md describes what it implements.
"""
