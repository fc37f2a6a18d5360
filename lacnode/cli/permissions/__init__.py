"""`lacnode permissions`: look at the rules of a permissioned network, change them, and have decisions explained.

A client of a running node's JSON-RPC and nothing else; it must not open a node's files.
"""
