"""Reports to an ethstats server: who this node is, its last block, its pool and its peers.

Must not change anything, and must not hold anything up: the server is elsewhere, and may hang, lie or be away.
"""
