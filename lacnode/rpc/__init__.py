"""JSON-RPC: methods as plain functions over `RpcServices`, and the transports that carry them.

Method names, shapes and errors are Besu's. Nothing here executes a block or changes state except through the pool, the
ballot and the network's list of static nodes.
"""
