"""Errors that no rule expects, while a block or a transaction is executed: faults of this program.

Besu refuses a transaction then with `INTERNAL_ERROR`. The node must go on: the same transaction is in the pool of every
validator, and would end them one after the other. This file must not hide faults of the storage: a node that cannot read its
state must not judge blocks.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.chain.block_errors import BlockRefusedError, InternalBlockError
from lacnode.consensus.bft.header_rules import HeaderRefusedError
from lacnode.evm.budget import ExecutionInterruptedError
from lacnode.evm.engine import ExecutionError
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.storage.storage_errors import StorageError

NOT_FAULTS = (
    BlockRefusedError,
    HeaderRefusedError,
    ExecutionError,
    TransactionRejectedError,
    ExecutionInterruptedError,
    StorageError,
    MissingNodeError,
)
"""Errors with a meaning of their own. They pass as they are."""

_log = RateLimitedLog("chain", time.monotonic)


@contextmanager
def rejecting_internal_errors(transaction: Transaction) -> Iterator[None]:
    """In this context, an error that is none of `NOT_FAULTS` is logged and becomes TransactionRejectedError
    (INTERNAL_ERROR) for `transaction`. `NOT_FAULTS` pass as they are."""
    try:
        yield
    except NOT_FAULTS:
        raise
    except Exception as fault:
        text = f"an internal error: {fault!r}"
        _log.exception("transaction", "a transaction met an internal error", hash="0x" + transaction.hash.hex())
        raise TransactionRejectedError(RejectionReason.INTERNAL_ERROR, text) from None


@contextmanager
def refusing_internal_errors(number: int) -> Iterator[None]:
    """In this context, an error that is none of `NOT_FAULTS` is logged and becomes InternalBlockError for block
    `number`. `NOT_FAULTS` pass as they are."""
    try:
        yield
    except NOT_FAULTS:
        raise
    except Exception as fault:
        _log.exception("block", "the check of a block met an internal error", number=number)
        raise InternalBlockError(fault) from None
