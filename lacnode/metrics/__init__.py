"""The metrics of a node: series, the port that serves them to Prometheus, and their push to a gateway or a collector.

Must not know the meaning of a series, nor change it: the part that offers a series gives the source of its values.
"""
