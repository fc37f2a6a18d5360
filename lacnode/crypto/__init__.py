"""Keys and signatures: secp256k1, node keys and their files, and the `Signer` protocol.

Must not open a socket. Must not write a private key into a log, an output or an error.
"""
