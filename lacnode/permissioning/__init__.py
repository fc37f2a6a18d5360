"""Rules that decide which nodes may connect and which accounts may send transactions.

The rules come from a local file, from contracts, or from both. Every decision gives its reason. This package must not
open sockets. It must not make a decision that it cannot explain.
"""
