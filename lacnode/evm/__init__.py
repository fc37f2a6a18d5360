"""Executing transactions: py-evm driven at the level of its `State`, behind the `ExecutionEngine` protocol.

Only the modules named `py_evm_*` import py-evm, which takes most of a second. Nothing here knows the head, the network,
or what a block's hash is.
"""

import os

# py-evm hashes through eth-hash, which prefers the backend that takes five times as long, unless it is told otherwise.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
