"""The metrics of a node for Prometheus: series, the port that serves them, and the gateway that they are pushed to.

Must not know the meaning of a series, nor change it: the part that offers a series gives the source of its values.
"""
