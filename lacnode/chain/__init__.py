"""The chain, and the one writer of state: verification, execution, import, head, receipts, logs, indexes.

The package is synchronous. It never reorganises, because an IBFT block is final when it is imported. It knows no event loop
and no network.
"""
