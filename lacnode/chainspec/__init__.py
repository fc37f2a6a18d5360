"""The specification of a network: Besu's genesis file, its forks and its IBFT 2.0 parameters.

Files go in, values come out. This package knows no EVM and no network.
"""
