"""The network: discovery, RLPx sessions, the peer set, and the `eth` and `IBF` sub-protocols on them.

Bytes are `p2p.wire`'s. What a message means is the handler's, which the node gives. Who may connect is asked of a
`ConnectionPolicy` and never decided here.
"""
