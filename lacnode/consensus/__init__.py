"""IBFT 2.0 as a pure state machine, and the rules for its blocks.

Events go in, and effects come out (`events`, `effects`). The machine is `ibft.Ibft`. Nothing in this package waits, reads
a clock, opens a file or a socket, or draws a random number. Nothing in it knows an EVM, a database or a network.
"""
