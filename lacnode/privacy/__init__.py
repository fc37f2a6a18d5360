"""Private transactions: groups, payloads and private states, and the transaction manager.

The parts that need an event loop are in `privacy.service`. This package must not let a failure stop public blocks. It must
not let a secret out.
"""
