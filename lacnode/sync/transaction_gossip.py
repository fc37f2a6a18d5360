"""Transactions between pools: full to a few peers, hashes to the rest, and fetching what others announce.

Follows Besu 24.1: ceil(sqrt(peers)) random peers get a new transaction whole, the others its hash; a new peer gets the
pool's hashes. A long transaction is announced to all, as geth does: each peer fetches it once, instead of being sent it by
several. What a pool refuses, or has no room for, is neither relayed nor held against the peer that sent it.
"""

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import structlog
import trio

from lacnode.p2p.peer import Peer, RequestFailedError
from lacnode.primitives.transaction import LONG_BYTES, Transaction
from lacnode.sync.transaction_intake import TransactionIntake
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES

log = structlog.get_logger("gossip")

SEND_WINDOW_SECONDS = 0.02
"""Seconds without a new transaction after which what was gathered is sent."""

MAX_SEND_DELAY_SECONDS = 0.5
"""Seconds for which transactions are gathered where more and more come."""

FETCH_WINDOW_SECONDS = 0.1
"""Seconds during which announced hashes are gathered into one request; Besu waits 0.5."""

MAX_HASHES_PER_REQUEST = 256
"""Hashes in one request: what Besu serves."""

FETCH_BYTES = 2**20
"""Bytes of transactions, as their peer announced them, in one request; a single one may be longer."""

UNKNOWN_BYTES = 16 * 1024
"""What one counts for whose length was not announced, before eth/68. A contract creation has as much."""

ASKED_SECONDS = 10.0
"""How long a long transaction that was asked for is not asked for again; until then it is in the pool, or was refused."""

MAX_ASKED = 4096
"""Such transactions that are remembered. The oldest is forgotten."""

LOOK_AGAIN_SECONDS = 1.0
"""How long announced transactions wait at most before it is looked again whether they can be fetched."""

MAX_ANNOUNCED_HASHES = 4096
"""Hashes waiting to be fetched per peer, and sent in one announcement. More are forgotten: others announce them too."""


class TransactionGossip:
    """Moves transactions between `peers` and the pool.

    `admit` offers remote transactions to the pool, in a worker thread; `known` tells which hashes need no fetching. The pool
    refuses transactions of more than `max_bytes`, so they are not fetched.
    """

    def __init__(
        self,
        peers: Callable[[], Iterable[Peer]],
        *,
        admit: Callable[[Sequence[Transaction]], None],
        known: Callable[[bytes], bool],
        pooled: Callable[[], Sequence[Transaction]],
        rng: random.Random,
        max_bytes: int = MAX_TRANSACTION_BYTES,
    ) -> None:
        self._peers = peers
        self._admit = admit
        self._known = known
        self._pooled = pooled
        self._rng = rng
        self._outgoing: list[Transaction] = []
        self._max_bytes = max_bytes
        self._announced: dict[Peer, dict[bytes, int]] = {}
        """What peers have and we lack: hashes, and lengths as announced, 0 where none was."""
        self._asked: OrderedDict[bytes, float] = OrderedDict()
        """Long transactions that a peer was asked for, and when."""
        self._send_needed = trio.Event()
        self._fetch_needed = trio.Event()
        self._fetching: set[Peer] = set()
        self._intake = TransactionIntake(admit)

    async def run(self) -> None:
        """Send and fetch until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._intake.run)
            nursery.start_soon(self._send_loop)
            nursery.start_soon(self._fetch_loop, nursery)

    # -- told by the node ----------------------------------------------------------------------------------------

    def pending_added(self, transaction: Transaction) -> None:
        """The pool has a new transaction. Call from the event loop."""
        self._outgoing.append(transaction)
        self._send_needed.set()

    def peer_joined(self, peer: Peer) -> None:
        """Announce the pool to a new peer."""
        pooled = self._pooled()[:MAX_ANNOUNCED_HASHES]
        if pooled:
            peer.send_transaction_hashes(pooled)

    def peer_left(self, peer: Peer) -> None:
        self._announced.pop(peer, None)

    def received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """Offer a peer's transactions to the pool, when it is their turn."""
        self._intake.put(peer.id, [transaction for transaction in transactions if not self._known(transaction.hash)])

    def hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int] = ()) -> None:
        """Remember what `peer` says it has and we lack. `sizes` are lengths in bytes, empty where the peer gives none."""
        waiting = self._announced.setdefault(peer, {})
        for hash_, size in zip(hashes, sizes or repeat(0), strict=False):
            if len(waiting) >= MAX_ANNOUNCED_HASHES:
                break
            if size <= self._max_bytes and not self._known(hash_):
                waiting[hash_] = size
        if waiting:
            self._fetch_needed.set()
        else:
            del self._announced[peer]

    # -- loops ---------------------------------------------------------------------------------------------------

    async def _send_loop(self) -> None:
        while True:
            await self._send_needed.wait()
            await self._gather()
            self._send_needed = trio.Event()
            batch, self._outgoing = self._outgoing, []
            self._propagate([transaction for transaction in batch if self._known(transaction.hash)])

    async def _gather(self) -> None:
        """Wait for what comes with the first transaction: a thousand that arrive together go out in few messages."""
        latest = trio.current_time() + MAX_SEND_DELAY_SECONDS
        count = 0
        while (count < len(self._outgoing) or self._intake.is_busy) and trio.current_time() < latest:
            count = len(self._outgoing)
            await trio.sleep(SEND_WINDOW_SECONDS)

    def _propagate(self, transactions: Sequence[Transaction]) -> None:
        peers = list(self._peers())
        self._rng.shuffle(peers)
        whole = math.ceil(math.sqrt(len(peers)))
        short = [transaction for transaction in transactions if len(transaction.raw) < LONG_BYTES]
        long = [transaction for transaction in transactions if len(transaction.raw) >= LONG_BYTES]
        for position, peer in enumerate(peers):
            if position < whole:
                peer.send_transactions(short)
                peer.send_transaction_hashes(long)
            else:
                peer.send_transaction_hashes(transactions)

    async def _fetch_loop(self, nursery: trio.Nursery) -> None:
        """Each peer is asked by a task of its own, so that one that answers late holds up what others announced in no
        way."""
        while True:
            with trio.move_on_after(LOOK_AGAIN_SECONDS if self._announced else math.inf):
                await self._fetch_needed.wait()
            await trio.sleep(FETCH_WINDOW_SECONDS)
            self._fetch_needed = trio.Event()
            for peer in [peer for peer in self._announced if peer not in self._fetching]:
                self._fetching.add(peer)
                nursery.start_soon(self._fetch_from, peer)

    async def _fetch_from(self, peer: Peer) -> None:
        """Ask `peer` for what it has announced, until nothing is left."""
        try:
            while wanted := self._next_request(peer):
                await self._fetch(peer, wanted)
        except RequestFailedError as error:
            log.debug("announced transactions not delivered", peer=peer.enode_text, reason=str(error))
        finally:
            self._fetching.discard(peer)

    def _next_request(self, peer: Peer) -> list[bytes]:
        """The hashes that `peer` is asked for next, taken from what it has announced. What has to wait stays there: a long
        one that another peer was asked for, and long ones while those that came are not in the pool yet."""
        waiting = self._announced.get(peer, {})
        now, size = trio.current_time(), 0
        wanted: list[bytes] = []
        for hash_, length in list(waiting.items()):
            if self._known(hash_):
                del waiting[hash_]
            elif length < LONG_BYTES or self._may_ask(hash_, now):
                counted = length or UNKNOWN_BYTES
                if len(wanted) == MAX_HASHES_PER_REQUEST or (wanted and size + counted > FETCH_BYTES):
                    break
                del waiting[hash_]
                wanted.append(hash_)
                size += counted
                if length >= LONG_BYTES:
                    self._remember_asked(hash_, now)
        if not waiting:
            self._announced.pop(peer, None)
        return wanted

    def _may_ask(self, hash_: bytes, now: float) -> bool:
        return self._intake.takes_long and now - self._asked.get(hash_, -math.inf) > ASKED_SECONDS

    def _remember_asked(self, hash_: bytes, now: float) -> None:
        self._asked[hash_] = now
        self._asked.move_to_end(hash_)
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)

    async def _fetch(self, peer: Peer, wanted: Sequence[bytes]) -> None:
        missing = set(wanted)
        try:
            transactions = await peer.pooled_transactions(wanted)
            asked_for = [transaction for transaction in transactions if transaction.hash in missing]
            if len(asked_for) < len(transactions):
                peer.report_useless_answer()
            missing -= {transaction.hash for transaction in asked_for}
            self.received(peer, asked_for)
        finally:
            # Another peer that has announced it may be asked at once.
            for hash_ in missing:
                self._asked.pop(hash_, None)
            if missing and self._announced:
                self._fetch_needed.set()
