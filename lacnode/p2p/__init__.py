"""The network: discovery, RLPx sessions, the peer set, and the sub-protocols on them: `eth`, and those of consensus.

`p2p.wire` reads and writes the bytes. The node gives a handler, which acts on the messages, and a
`ConnectionPolicy`, which decides which nodes may connect. Must not make these decisions itself.
"""
