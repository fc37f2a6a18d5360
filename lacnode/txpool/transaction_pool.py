"""The pool: the transactions that wait for a block, under one lock.

`pool_index` keeps them, and `admission` has the rules for new ones. The pool is safe to use from several threads: RPC adds
transactions while a block is built. Listeners are called after the lock is released, in the thread that caused the change.
"""

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.txpool.admission import AdmittedTransaction, HeadState, TransactionAdmission
from lacnode.txpool.pool_counters import PoolCounters, Removal
from lacnode.txpool.pool_index import PoolIndex
from lacnode.txpool.pool_settings import PoolSettings
from lacnode.txpool.pooled_transaction import PoolCandidate, PooledTransaction, Rank, SelectionResult
from lacnode.txpool.replacement import may_replace
from lacnode.txpool.slow_transactions import MAX_TRIES, SlowTransactions

log = structlog.get_logger("txpool")

Listener = Callable[[PooledTransaction], None]


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The numbers of pooled transactions and of their senders, and about the bytes that they take in memory. `local`
    were sent by users of this node, `remote` by peers. `max_size` is the largest number of transactions. It is -1 if
    the settings are those of a layered pool, as in Besu."""

    max_size: int
    local: int
    remote: int
    memory_bytes: int
    senders: int

    @property
    def size(self) -> int:
        """The number of all pooled transactions."""
        return self.local + self.remote


class TransactionPool:
    """The pool. Safe to use from several threads. `head` returns the head with its accounts. `admission` has the rules."""

    def __init__(self, settings: PoolSettings, admission: TransactionAdmission, head: Callable[[], HeadState]) -> None:
        self.settings = settings
        self._admission = admission
        self._head = head
        self._lock = threading.RLock()
        self.counters = PoolCounters()
        self._index = PoolIndex(self.counters)
        self._slow_transactions = SlowTransactions()
        self._now = 0.0
        self._log = RateLimitedLog("txpool", lambda: self._now)
        self._sequence = 0
        self._added: list[Listener] = []
        self._dropped: list[Listener] = []

    def on_added(self, listener: Listener) -> None:
        """Call `listener` in the adding thread, outside the lock, for each transaction, even if it leaves again at once."""
        self._added.append(listener)

    def on_dropped(self, listener: Listener) -> None:
        """Call `listener` in the changing thread, outside the lock, for each one that leaves without being in a block."""
        self._dropped.append(listener)

    def set_block_min_gas_price(self, price: int) -> None:
        """Keep transactions without priority that pay less than `price` (wei per gas) out of this node's blocks."""
        self.settings = replace(self.settings, block_min_gas_price=price)

    def set_min_priority_fee(self, fee: int) -> None:
        """Keep transactions that pay less than `fee` (wei per gas) above the base fee out of this node's blocks, except
        those with priority."""
        self.settings = replace(self.settings, min_priority_fee=fee)

    # -- entering ------------------------------------------------------------------------------------------------

    def add(self, transaction: Transaction, *, local: bool, now: float) -> None:
        """Add `transaction`, received at `now` (Unix seconds). `local`: a user of this node sent it. A full pool then
        drops the least important, maybe this one. Raises TransactionRejectedError if refused, or MissingNodeError."""
        self._check_new(transaction)
        self._now = now
        self._check_not_slow(transaction, now)
        # Outside the lock: recovering the sender and asking the rules contract take milliseconds.
        admitted = self._admission.check(transaction, local=local)
        with self._lock:
            # Again under the lock: another thread may have added the same transaction in the meantime.
            self._check_new(transaction)
            head, account_nonce = self._head_for_nonce(transaction, admitted)
            self._sequence += 1
            pooled = PooledTransaction(transaction, admitted.sender, local, admitted.priority, self._sequence, now)
            gone = self._insert(pooled, account_nonce, head.header.base_fee)
        for listener in self._added:
            listener(pooled)
        self._notify_dropped(gone)

    def _check_new(self, transaction: Transaction) -> None:
        if self._index.find_by_hash(transaction.hash) is not None:
            raise TransactionRejectedError(RejectionReason.TRANSACTION_ALREADY_KNOWN, "it is pooled already")

    def _check_not_slow(self, transaction: Transaction, now: float) -> None:
        seconds = self._slow_transactions.refused_seconds(transaction.hash, now)
        if seconds:
            raise TransactionRejectedError(
                RejectionReason.TX_EVALUATION_TOO_LONG,
                "its execution took more time, memory or logs than a block has for one transaction; "
                f"it may be sent again in {seconds:.0f} s",
            )

    def _head_for_nonce(self, transaction: Transaction, admitted: AdmittedTransaction) -> tuple[HeadState, int]:
        """The head and the account's nonce, under the lock: a block may have been imported since the check. Raises
        TransactionRejectedError if the nonce does not fit."""
        head = self._head()
        nonce = head.accounts.nonce(admitted.sender)
        if transaction.nonce < nonce:
            raise TransactionRejectedError(
                RejectionReason.NONCE_TOO_LOW, f"nonce {transaction.nonce} was used, the next is {nonce}"
            )
        if transaction.nonce - nonce >= self.settings.too_far_nonce_distance:
            raise TransactionRejectedError(
                RejectionReason.NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER,
                f"nonce {transaction.nonce}, the account's is {nonce}, "
                f"at most {self.settings.too_far_nonce_distance - 1} ahead",
            )
        return head, nonce

    def _insert(self, pooled: PooledTransaction, account_nonce: int, base_fee: int | None) -> list[PooledTransaction]:
        """Insert the transaction. Return those that were removed for it."""
        transaction = pooled.transaction
        replaced = self._index.find_by_nonce(pooled.sender, transaction.nonce)
        if replaced is not None and not may_replace(
            transaction, replaced.transaction, self.settings.price_bump, base_fee
        ):
            raise TransactionRejectedError(
                RejectionReason.TRANSACTION_REPLACEMENT_UNDERPRICED,
                f"another transaction with nonce {transaction.nonce} pays as much",
            )
        # Every check is done: from here on nothing may fail, or the indexes would differ from each other.
        gone: list[PooledTransaction] = []
        if replaced is not None:
            self._index.remove(replaced, Removal.REPLACED)
            gone.append(replaced)
        self._index.add(pooled, account_nonce, base_fee)
        # The new one may itself be the least important. It is then removed again.
        return gone + self._index.shrink(self.settings.max_size, self.settings.max_bytes)

    # -- leaving -------------------------------------------------------------------------------------------------

    def block_imported(self, transactions: Sequence[Transaction], senders: Sequence[bytes]) -> None:
        """Remove the transactions of an imported block, and those with a nonce that the block has used. `senders` are
        the 20-byte addresses in the order of `transactions`."""
        gone: list[PooledTransaction] = []
        with self._lock:
            for transaction, sender in zip(transactions, senders, strict=True):
                pooled = self._index.find_by_nonce(sender, transaction.nonce)
                if pooled is not None:
                    is_in_block = pooled.transaction.hash == transaction.hash
                    self._index.remove(pooled, Removal.CONFIRMED if is_in_block else Removal.INVALIDATED)
                    # Another transaction with this nonce is in the block. This one can never be.
                    if not is_in_block:
                        gone.append(pooled)
                self._index.mark_nonce_used(sender, transaction.nonce)
        self._notify_dropped(gone)

    def expire(self, now: float) -> None:
        """Drop transactions older than `PoolSettings.retention_hours`. Call this once a minute, with Unix seconds."""
        oldest = now - self.settings.retention_hours * 3600
        with self._lock:
            old = [pooled for pooled in self._index.all() if pooled.added_at < oldest]
            for pooled in old:
                self._index.remove(pooled, Removal.DROPPED)
        self._notify_dropped(old)

    def record_interruption(self, candidate: PoolCandidate, seconds: float, cause: str, *, was_held_up: bool) -> None:
        """Record that the execution of `candidate` was interrupted after `seconds` for `cause`. `was_held_up`: the
        machine did other work for most of that time. For `SENDER_LAST_SECONDS` all of its sender are offered last. It
        is dropped and refused for a while if it `is_expected_slow` and was not held up, or at try `MAX_TRIES`."""
        pooled = candidate.pooled
        hash_ = pooled.transaction.hash
        with self._lock:
            tries = self._slow_transactions.record_interruption(hash_, pooled.sender, self._now)
            is_over = tries >= MAX_TRIES or (candidate.is_expected_slow and not was_held_up)
            if is_over:
                self._slow_transactions.record_drop(hash_, self._now)
            self._log.warning(
                pooled.sender,
                "transaction takes more than a block has: " + ("dropped" if is_over else "put off"),
                why=cause,
                hash=to_hex(hash_),
                sender=to_hex(pooled.sender),
                seconds=round(seconds, 2),
                gas_limit=pooled.transaction.gas_limit,
            )
        if is_over:
            candidate.dropped(RejectionReason.TX_EVALUATION_TOO_LONG)

    def drop(self, pooled: PooledTransaction, reason: RejectionReason | None) -> None:
        """Remove a transaction, if the pool has it. `reason`: why no block may have it, None if a user removes it."""
        # The block builder works on a snapshot, so the transaction may have left the pool already.
        with self._lock:
            known = self._index.find_by_hash(pooled.transaction.hash)
            if known is not None:
                self._index.remove(known, _removal_for(reason))
        if known is not None:
            log.debug("transaction dropped", hash=known.transaction.hash.hex(), reason=reason and reason.name)
            self._notify_dropped([known])

    def _notify_dropped(self, gone: Iterable[PooledTransaction]) -> None:
        for pooled in gone:
            for listener in self._dropped:
                listener(pooled)

    # -- queries -------------------------------------------------------------------------------------------------

    def is_pooled_or_refused(self, hash_: bytes) -> bool:
        """Whether the transaction with this hash (32 bytes) is pooled, or refused because its execution took too much.
        A peer need not send it."""
        is_pooled = self._index.find_by_hash(hash_) is not None
        return is_pooled or self._slow_transactions.refused_seconds(hash_, self._now) > 0

    def pooled(self, hash_: bytes) -> PooledTransaction | None:
        """The pooled transaction with this hash (32 bytes), or None."""
        return self._index.find_by_hash(hash_)

    def transaction(self, hash_: bytes) -> Transaction | None:
        """The pooled transaction with this hash (32 bytes) as it was signed, or None."""
        pooled = self._index.find_by_hash(hash_)
        return None if pooled is None else pooled.transaction

    def all(self) -> list[PooledTransaction]:
        """A copy of all pooled transactions, in the order of arrival, also of those that are not executable yet."""
        with self._lock:
            return sorted(self._index.all(), key=lambda pooled: pooled.sequence)

    def next_nonce(self, sender: bytes) -> int | None:
        """The first nonce of `sender` (20 bytes), from the account's nonce on, that no pooled transaction has: the
        first gap. None if no transaction of `sender` is pooled. MissingNodeError if the state lacks a node."""
        with self._lock:
            if not self._index.has_sender(sender):
                return None
            nonce = self._head().accounts.nonce(sender)
            return nonce + len(self._index.consecutive_from_nonce(sender, nonce))

    @property
    def statistics(self) -> PoolStatistics:
        """The numbers of transactions and senders, and the memory that they take, now."""
        with self._lock:
            local = sum(pooled.local for pooled in self._index.all())
            size = -1 if self.settings.layered else self.settings.max_size
            return PoolStatistics(size, local, len(self._index) - local, self._index.memory_bytes, self._index.senders)

    # -- blocks --------------------------------------------------------------------------------------------------

    def candidates(self, base_fee: int | None, now: float) -> Iterator[PoolCandidate]:
        """Yield the transactions for a block with `base_fee` (wei, None before London) at `now` (Unix seconds), by
        rank. Those of each sender are in the order of their nonces, without a gap. Those that will probably take long
        come last: free transactions with much gas of senders that are not in the chain yet, and transactions of slow
        senders. If one pays too little or is not included, the later ones of its sender are not offered. The pool is
        read when the first one is asked for. MissingNodeError if a node of the head's state is missing."""
        self._now = now
        queues = self._queues()
        # A queue starts with the account's nonce. A sender that is in the chain may use any gas limit. A new account costs
        # its owner a transaction, and that one comes last.
        new_senders = {sender for sender, queue in queues.items() if queue[-1].transaction.nonce == 0}

        def heap_entry(pooled: PooledTransaction) -> tuple[bool, Rank, bytes]:
            is_unknown = pooled.sender in new_senders and pooled.is_free_with_high_gas_limit(base_fee)
            is_expected_slow = is_unknown or self._slow_transactions.is_sender_slow(pooled.sender, now)
            return is_expected_slow, pooled.rank(base_fee), pooled.sender

        # One entry for each sender. The whole pool need not be sorted for a block that takes a few of it.
        heap = [heap_entry(queue[-1]) for queue in queues.values()]
        heapq.heapify(heap)
        while heap:
            is_expected_slow, _, sender = heapq.heappop(heap)
            queue = queues[sender]
            pooled = queue.pop()
            # The whole queue of the sender is left out: its later nonces cannot be in the block without this one.
            if not pooled.pays_at_least(self.settings.block_min_gas_price, self.settings.min_priority_fee, base_fee):
                continue
            candidate = PoolCandidate(pooled, self, is_expected_slow=is_expected_slow)
            yield candidate
            if candidate.result is SelectionResult.INCLUDED and queue:
                heapq.heappush(heap, heap_entry(queue[-1]))

    def _queues(self) -> dict[bytes, list[PooledTransaction]]:
        """The executable transactions of each sender, from its account nonce on. The first one is last in the list."""
        accounts = self._head().accounts
        with self._lock:
            executable = self._index.executable_by_sender(accounts.nonce)
        return {sender: run[::-1] for sender, run in executable.items()}


def _removal_for(reason: RejectionReason | None) -> Removal:
    # A nonce that the chain has used is no gap before the later transactions of its sender.
    return Removal.INVALIDATED if reason is RejectionReason.NONCE_TOO_LOW else Removal.DROPPED
