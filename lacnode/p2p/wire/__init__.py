"""The wire of devp2p: enodes, RLPx, the base protocol, `eth` messages and discovery v4, as bytes and plain values.

Machines here take bytes and time as arguments and give bytes and values back. Nothing opens a socket, reads a clock,
has randomness of its own or waits. Besu's behaviour is the law where it differs from devp2p's text.
"""
