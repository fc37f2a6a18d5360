"""Agreement on blocks: a core for the protocols of the BFT family, and one package for each protocol.

Nothing in this package waits, reads a clock, opens a file or a socket, or draws a random number. Nothing in it knows an
EVM, a database or a network.
"""
