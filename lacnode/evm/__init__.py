"""Executing transactions: py-evm driven at the level of its `State`, and a native library, behind the
`ExecutionEngine` protocol.

Only the modules named `py_evm_*` import py-evm, which takes most of a second. No module here reads the head or the
network, or computes the hash of a block.
"""

import os

# py-evm hashes through eth-hash. Without this variable, eth-hash prefers the backend that takes five times as
# long.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
