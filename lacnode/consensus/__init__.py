"""IBFT 2.0 as a pure state machine, and the rules its blocks obey.

Events go in, effects come out (`events`, `effects`); `ibft.Ibft` is the machine. Nothing in this package waits, reads a
clock, opens a file or socket, draws a random number, or knows that an EVM, a database or a network exists.
"""
