"""The node's side of privacy: private transactions, their execution, and the state of each group.

It knows a manager by `privacy.transaction_manager` alone. This package must not delay public blocks.
"""
