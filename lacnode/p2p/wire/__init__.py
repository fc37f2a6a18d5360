"""The wire of devp2p: enodes, RLPx, the base protocol, `eth` messages and discovery v4, as bytes and plain values.

The state machines take bytes and times as arguments, and return bytes and values. Nothing here opens a socket, reads a
clock, makes random bytes of its own, or waits. Where Besu's behaviour differs from devp2p's text, this node follows Besu.
"""
