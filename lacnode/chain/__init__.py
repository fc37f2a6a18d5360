"""The one writer of state: verify, execute, import, head, receipts, logs, indexes.

Synchronous. Never reorganises: an IBFT block is final when it is imported. Knows no event loop and no network.
"""
