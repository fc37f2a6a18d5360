"""IBFT 2.0: its messages, certificates, extra data and block hash, byte for byte as Besu has them."""
