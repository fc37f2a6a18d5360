"""The specification of a network: Besu's genesis file, its forks and the parameters of consensus.

Files go in, values come out. This package knows no EVM and no network.
"""
