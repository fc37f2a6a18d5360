"""What a node lets Prometheus read: series, the port they are read from, and the gateway they are pushed to.

Must not know what is counted, nor change it: whoever offers a series says where its values come from.
"""
