"""Keys and signatures: secp256k1, node keys and their files, and the `Signer` seam.

Opens no socket. Private keys are never logged, printed or put into an error.
"""
