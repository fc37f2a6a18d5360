"""Reader processes: they answer heavy calls from the node's database, at low priority, and can be killed.

Must not hold what the node needs: a reader that dies costs the call that it worked on.
"""
