"""The node's side of privacy: private transactions, what executes them, and the state of each group.

Knows a manager by `privacy.transaction_manager` alone. Must not hold up public blocks.
"""
