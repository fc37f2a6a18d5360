"""The pooled transactions by hash, by sender and nonce, and in the order in which they leave a full pool.

The indexes always hold the same transactions. Only the pool changes them, under its lock. Must not decide whether a
transaction may enter: `admission` and the pool do.
"""

from collections.abc import Callable, Iterable

from lacnode.txpool.gapped_transactions import GappedTransactions
from lacnode.txpool.importance_order import ImportanceOrder
from lacnode.txpool.pool_counters import PoolCounters, Removal
from lacnode.txpool.pooled_transaction import PooledTransaction


class PoolIndex:
    """The pooled transactions. A transaction is looked up by hash without the lock, everything else under it.

    `counters` count each transaction that enters or leaves.
    """

    def __init__(self, counters: PoolCounters) -> None:
        self._counters = counters
        self._by_hash: dict[bytes, PooledTransaction] = {}
        self._by_sender: dict[bytes, dict[int, PooledTransaction]] = {}
        # Each transaction is in one of these two.
        self._gapped = GappedTransactions()
        self._order = ImportanceOrder()

    def __len__(self) -> int:
        return len(self._by_hash)

    @property
    def memory_bytes(self) -> int:
        """About the bytes that all transactions together take in memory. 0 if there is none."""
        return self._gapped.memory_bytes + self._order.memory_bytes

    @property
    def senders(self) -> int:
        """The number of senders with at least one transaction."""
        return len(self._by_sender)

    def find_by_hash(self, hash_: bytes) -> PooledTransaction | None:
        """The transaction with this hash (32 bytes), or None."""
        return self._by_hash.get(hash_)

    def find_by_nonce(self, sender: bytes, nonce: int) -> PooledTransaction | None:
        """The transaction of `sender` (20-byte address) with this nonce, or None."""
        return self._by_sender.get(sender, {}).get(nonce)

    def all(self) -> Iterable[PooledTransaction]:
        """All transactions, in no particular order. It is a view, not a copy: use it under the lock."""
        return self._by_hash.values()

    def has_sender(self, sender: bytes) -> bool:
        """Whether `sender` (20-byte address) has a transaction in the pool."""
        return sender in self._by_sender

    def consecutive_from_nonce(self, sender: bytes, nonce: int) -> list[PooledTransaction]:
        """The transactions of `sender` (20-byte address) from `nonce` on, in the order of nonces, up to the first nonce
        that is missing. Empty if `nonce` itself is missing."""
        nonces = self._by_sender.get(sender, {})
        run = []
        while nonce in nonces:
            run.append(nonces[nonce])
            nonce += 1
        return run

    def executable_by_sender(self, account_nonce: Callable[[bytes], int]) -> dict[bytes, list[PooledTransaction]]:
        """Return, by sender (20-byte address), the transactions from its account nonce on, in the order of nonces, up
        to the first nonce that is missing.

        `account_nonce` returns the nonce of an address on the state. Its errors pass through. Senders without a
        transaction at their account nonce are left out.
        """
        runs = {sender: self.consecutive_from_nonce(sender, account_nonce(sender)) for sender in self._by_sender}
        return {sender: run for sender, run in runs.items() if run}

    def add(self, pooled: PooledTransaction, account_nonce: int, base_fee: int | None) -> None:
        """Add a transaction and count it. The pool must have none with its hash, nor with its sender and nonce.
        `account_nonce` is that of its sender at the head. `base_fee` is that of the head in wei per gas, None before
        London. The bounds are not enforced here: see `shrink`."""
        nonces, nonce = self._by_sender.setdefault(pooled.sender, {}), pooled.transaction.nonce
        earlier = nonces.get(nonce - 1)
        nonces[nonce] = pooled
        self._by_hash[pooled.transaction.hash] = pooled
        if nonce > account_nonce and (earlier is None or earlier in self._gapped):
            self._gapped.add(pooled)
        else:
            self._order.add(pooled, base_fee)
            self._mark_run(pooled.sender, nonce + 1, gapped=False)
        self._counters.count_added(pooled)

    def remove(self, pooled: PooledTransaction, removal: Removal) -> None:
        """Remove a transaction that is in the pool, and count it with the reason `removal`. KeyError if it is not
        there. After the reason DROPPED, the later transactions of its sender have a nonce gap before them."""
        self._counters.count_removed(pooled, removal)
        del self._by_hash[pooled.transaction.hash]
        (self._gapped if pooled in self._gapped else self._order).remove(pooled)
        nonces = self._by_sender[pooled.sender]
        del nonces[pooled.transaction.nonce]
        if not nonces:
            del self._by_sender[pooled.sender]
        # After the other reasons there is no gap: another transaction follows at once, the chain has used the nonce, or the
        # later transactions are removed too.
        if removal is Removal.DROPPED:
            self._mark_run(pooled.sender, pooled.transaction.nonce + 1, gapped=True)

    def mark_nonce_used(self, sender: bytes, nonce: int) -> None:
        """Record that the chain has used `nonce` of `sender` (20-byte address): there is no gap before the next nonce."""
        self._mark_run(sender, nonce + 1, gapped=False)

    def _mark_run(self, sender: bytes, nonce: int, *, gapped: bool) -> None:
        """There is a gap before `nonce` now, or there is none any more. This holds for the transactions after it, too."""
        # The run ends at the first one that is right already, so the cost is that of the changes.
        nonces = self._by_sender.get(sender, {})
        while nonce in nonces and (nonces[nonce] in self._gapped) != gapped:
            if gapped:
                self._order.remove(nonces[nonce])
                self._gapped.add(nonces[nonce])
            else:
                self._gapped.remove(nonces[nonce])
                self._order.add(nonces[nonce], self._order.base_fee)
            nonce += 1

    def shrink(self, max_size: int, max_bytes: int) -> list[PooledTransaction]:
        """Remove the least important transactions until at most `max_size` of them with at most `max_bytes` of memory
        are left. Those with a nonce gap before them go first. With each, the later transactions of the same sender are
        removed.

        For memory, a transaction without a gap is chosen only if it takes more than its share, `max_bytes // max_size`.
        Return the removed transactions, empty if there was space. The last one that was added may be among them.
        """
        gone: list[PooledTransaction] = []
        while len(self._by_hash) > max_size:
            gone += self._evict(self._gapped.first_to_leave() or self._order.least_important())
        share = max_bytes // max_size
        # The long ones first. Each pass ends when it finds none, so that short ones are not searched again and again.
        for longer_than in (share, 0):
            while self.memory_bytes > max_bytes and (gapped := self._gapped.first_to_leave(longer_than)) is not None:
                gone += self._evict(gapped)
        while self.memory_bytes > max_bytes:
            gone += self._evict(self._order.least_important(longer_than=share))
        return gone

    def _evict(self, least: PooledTransaction) -> list[PooledTransaction]:
        """Remove `least`, and every later transaction of its sender."""
        # The later ones cannot be in a block without it. They would fill the pool for nothing.
        nonces = self._by_sender[least.sender]
        victims = [nonces[nonce] for nonce in sorted(nonces, reverse=True) if nonce >= least.transaction.nonce]
        for victim in victims:
            self.remove(victim, Removal.EVICTED)
        return victims
