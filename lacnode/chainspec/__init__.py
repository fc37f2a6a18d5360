"""What a network is: Besu's genesis file, its forks and its IBFT 2.0 parameters.

Files in, values out. Knows no EVM and no network.
"""
