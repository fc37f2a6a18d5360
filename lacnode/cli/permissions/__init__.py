"""`lacnode permissions`: look at the rules of a permissioned network, change them, and have decisions explained.

It is a client of a running node's JSON-RPC. It must not open the files of a node.
"""
