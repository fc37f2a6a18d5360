"""What a node lets Prometheus read: series, and the port they are read from.

Must not know what is counted, nor change it: whoever offers a series says where its values come from.
"""
