"""The network: discovery, RLPx sessions, the peer set, and the `eth` and `IBF` sub-protocols on them.

`p2p.wire` reads and writes the bytes. The node gives a handler, which acts on the messages, and a
`ConnectionPolicy`, which decides which nodes may connect. Must not make these decisions itself.
"""
