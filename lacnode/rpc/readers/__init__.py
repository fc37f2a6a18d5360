"""Reader processes. They answer heavy calls from the node's database at low priority, and can be killed at any time.

They must not hold anything that the node needs. The death of a reader costs only the call that it worked on.
"""
