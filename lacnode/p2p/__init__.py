"""The network: discovery, RLPx sessions, the peer set, and the `eth` and `IBF` sub-protocols on them.

`p2p.wire` reads and writes the bytes. The handler, which the node gives, decides what a message means. A
`ConnectionPolicy` decides who may connect. This package never decides that.
"""
