"""Transactions between pools: sent in full to a few peers, by hash to the rest, and requested after an announcement.

It follows Besu 24.1. ceil(sqrt(peers)) random peers receive a new transaction in full, and the others its hash. A new peer
receives the hashes of the pool. A long transaction is announced to all peers, as geth does: each peer requests it once, and
does not receive it from several. A transaction that the pool refuses is not relayed. Its sender is not blamed.
"""

import math
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import structlog
import trio

from lacnode.p2p.peer import NoAnswerError, Peer
from lacnode.primitives.transaction import LONG_BYTES, Transaction
from lacnode.sync.transaction_intake import TransactionIntake
from lacnode.txpool.pool_settings import MAX_TRANSACTION_BYTES

log = structlog.get_logger("gossip")

SEND_WINDOW_SECONDS = 0.02
"""Seconds without a new transaction after which the gathered ones are sent."""

RELAY_WINDOW_SECONDS = 0.1
"""Seconds during which transactions of peers are gathered before that. Their own node has sent them to most peers already,
and each message costs its receiver as much as several transactions."""

MAX_SEND_DELAY_SECONDS = 0.5
"""The longest time for which transactions are gathered while more of them arrive."""

FETCH_WINDOW_SECONDS = 0.1
"""Seconds during which announced hashes are gathered into one request. Besu waits 0.5."""

MAX_HASHES_PER_REQUEST = 256
"""Hashes in one request. Besu serves as many."""

FETCH_BYTES = 2**20
"""Bytes of transactions in one request, by the sizes that the peer announced. A single transaction may be longer."""

UNKNOWN_BYTES = 16 * 1024
"""The size that a transaction counts if its length was not announced (before eth/68). A contract creation has as much."""

ASKED_SECONDS = 10.0
"""How long a requested long transaction is not requested again. After that time it is in the pool, or was refused."""

MAX_ASKED = 4096
"""Requested long transactions that are remembered. The oldest is forgotten."""

LOOK_AGAIN_SECONDS = 1.0
"""The longest time between two checks whether announced transactions can be requested."""

MAX_ANNOUNCED_HASHES = 4096
"""Hashes per peer that wait for a request, and hashes in one announcement. More are dropped: other peers announce them."""


class TransactionGossip:
    """Moves transactions between `peers` and the pool, in both directions.

    `admit` offers a batch of peers' transactions to the pool. It is called in a worker thread, the other functions on
    the event loop. `known` returns True if the transaction with this hash (32 bytes) is in the pool or is refused for
    now: it is not requested then. It must be True for every pooled transaction: others are not sent. `pooled` returns
    the transactions of the pool, whose hashes a new peer gets. `max_bytes` is the pool's own bound: a transaction that
    is announced as longer is not requested.
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
        """Hashes that a peer has and the pool does not, with the announced lengths in bytes. 0 is an unknown length."""
        self._asked: OrderedDict[bytes, float] = OrderedDict()
        """Long transactions that were requested from a peer, with the time of the request."""
        self._send_needed = trio.Event()
        self._own_added = trio.Event()
        """Set while a transaction that a user of this node sent waits for its relay."""
        self._fetch_needed = trio.Event()
        self._fetching: set[Peer] = set()
        self._intake = TransactionIntake(admit)
        self.already_known: Counter[str] = Counter()
        """Transactions and announced hashes of peers that the pool had already, by Besu's names of the messages."""

    async def run(self) -> None:
        """Send and request transactions until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._intake.run)
            nursery.start_soon(self._send_loop)
            nursery.start_soon(self._fetch_loop, nursery)

    # -- events of the node --------------------------------------------------------------------------------------

    def pending_added(self, transaction: Transaction, *, is_local: bool) -> None:
        """Send or announce a new transaction of the pool to the peers, soon and together with others. With `is_local` a
        user of this node sent it, by RPC or as a private marker, and it is sent sooner. Call this from the event loop.
        """
        self._outgoing.append(transaction)
        self._send_needed.set()
        if is_local:
            self._own_added.set()

    def peer_joined(self, peer: Peer) -> None:
        """Count `peer` as new in the queue of transactions."""
        self._intake.peer_joined(peer.id)

    def announce_pool(self, peer: Peer) -> None:
        """Announce the first `MAX_ANNOUNCED_HASHES` transactions of the pool to a new peer."""
        # Bounded: a large pool would fill the send queue of each peer that connects.
        pooled = self._pooled()[:MAX_ANNOUNCED_HASHES]
        if pooled:
            peer.send_transaction_hashes(pooled)

    def peer_left(self, peer: Peer) -> None:
        """Forget the transactions that `peer` announced and that were not requested yet."""
        self._intake.peer_left(peer.id)
        self._announced.pop(peer, None)

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """Queue the transactions of `peer` for the pool, which `run` offers when it is the turn of this peer. Known ones
        are left out. What does not fit in the queue of the peer is dropped.
        """
        # Most transactions come several times. A known one costs only a look-up here.
        new = [transaction for transaction in transactions if not self._known(transaction.hash)]
        self.already_known["transactions"] += len(transactions) - len(new)
        self._intake.put(peer.id, new)

    def hashes_announced(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int] = ()) -> None:
        """Remember the hashes (32 bytes) that `peer` announced, and request their transactions soon. Hashes that are
        known are left out, and so are transactions of more than `max_bytes` and hashes beyond `MAX_ANNOUNCED_HASHES`
        waiting ones.

        `sizes` are lengths in bytes. They are empty if the peer gives none (before eth/68).
        """
        # A dictionary keeps the order of the announcement: older transactions are requested first.
        waiting = self._announced.setdefault(peer, {})
        for hash_, size in zip(hashes, sizes or repeat(0), strict=False):
            if len(waiting) >= MAX_ANNOUNCED_HASHES:
                break
            if self._known(hash_):
                self.already_known["new_pooled_transaction_hashes"] += 1
            elif size <= self._max_bytes:
                waiting[hash_] = size
        if waiting:
            self._fetch_needed.set()
        else:
            del self._announced[peer]

    # -- loops ---------------------------------------------------------------------------------------------------

    async def _send_loop(self) -> None:
        while True:
            await self._send_needed.wait()
            await self._wait_for_more()
            # Replaced before the batch is taken: a transaction that comes during the sending sets the new event.
            self._send_needed = trio.Event()
            self._own_added = trio.Event()
            batch, self._outgoing = self._outgoing, []
            # A transaction may have left the pool in the meantime. Relaying it would fill the pools of others.
            self._propagate([transaction for transaction in batch if self._known(transaction.hash)])

    async def _wait_for_more(self) -> None:
        """Wait for more transactions. A thousand that arrive together are sent in few messages."""
        # The latest time bounds the wait: under a steady stream nothing would ever be sent.
        latest = trio.current_time() + MAX_SEND_DELAY_SECONDS
        # A client's transaction waits for none of the peers.
        with trio.move_on_after(RELAY_WINDOW_SECONDS):
            await self._own_added.wait()
        count = 0
        while (count < len(self._outgoing) or self._intake.has_short_transactions) and trio.current_time() < latest:
            count = len(self._outgoing)
            await trio.sleep(SEND_WINDOW_SECONDS)

    def _propagate(self, transactions: Sequence[Transaction]) -> None:
        peers = list(self._peers())
        # A new random choice for each batch: with a fixed one, some peers would never receive full transactions.
        self._rng.shuffle(peers)
        whole = math.ceil(math.sqrt(len(peers)))
        short = [transaction for transaction in transactions if len(transaction.raw) < LONG_BYTES]
        # The limit is for single transactions. A peer receives each long one once, from the peer that it asks.
        long = [transaction for transaction in transactions if len(transaction.raw) >= LONG_BYTES]
        for position, peer in enumerate(peers):
            if position < whole:
                peer.send_transactions(short)
                peer.send_transaction_hashes(long)
            else:
                peer.send_transaction_hashes(transactions)

    async def _fetch_loop(self, nursery: trio.Nursery) -> None:
        """Request announced transactions. Each peer has its own task, so a slow peer delays no other."""
        while True:
            # With hashes that wait, the loop also runs without a new announcement: a long one may be due by now.
            with trio.move_on_after(LOOK_AGAIN_SECONDS if self._announced else math.inf):
                await self._fetch_needed.wait()
            await trio.sleep(FETCH_WINDOW_SECONDS)
            self._fetch_needed = trio.Event()
            # A peer with a running task takes its new hashes itself.
            for peer in [peer for peer in self._announced if peer not in self._fetching]:
                self._fetching.add(peer)
                nursery.start_soon(self._fetch_from, peer)

    async def _fetch_from(self, peer: Peer) -> None:
        """Request the announced transactions of `peer`, until none is left."""
        try:
            while wanted := self._next_request(peer):
                await self._fetch(peer, wanted)
        except NoAnswerError as error:
            # Not blamed: the peer may have dropped the transactions from its pool in the meantime.
            log.debug("announced transactions not delivered", peer=peer.enode_text, reason=str(error))
        finally:
            self._fetching.discard(peer)

    def _next_request(self, peer: Peer) -> list[bytes]:
        """Remove and return the hashes of the next request to `peer`.

        A hash stays if the request is full, if it is a long transaction that was requested lately, or if long
        transactions of this peer still wait for the pool.
        """
        # A copy of the items: the loop deletes from the dictionary.
        waiting = self._announced.get(peer, {})
        now, size, takes_long = trio.current_time(), 0, self._intake.may_request_long_from(peer.id)
        wanted: list[bytes] = []
        for hash_, length in list(waiting.items()):
            if self._known(hash_):
                del waiting[hash_]
            elif length < LONG_BYTES or (takes_long and self._may_ask(hash_, now)):
                # Both bounds hold for the answer, too: a larger one would not arrive within the time-out.
                counted = length or UNKNOWN_BYTES
                if len(wanted) == MAX_HASHES_PER_REQUEST or (wanted and size + counted > FETCH_BYTES):
                    break
                del waiting[hash_]
                wanted.append(hash_)
                size += counted
                if length >= LONG_BYTES:
                    self._remember_asked(hash_, now)
        if not waiting:
            # An empty entry would keep the loop running for this peer.
            self._announced.pop(peer, None)
        return wanted

    def _may_ask(self, hash_: bytes, now: float) -> bool:
        # Several peers announce the same long transaction. Without this each would send it.
        return now - self._asked.get(hash_, -math.inf) > ASKED_SECONDS

    def _remember_asked(self, hash_: bytes, now: float) -> None:
        self._asked[hash_] = now
        self._asked.move_to_end(hash_)
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)

    async def _fetch(self, peer: Peer, wanted: Sequence[bytes]) -> None:
        missing = set(wanted)
        # Transactions that were not requested are dropped: they would bypass the bounds of the announcements.
        try:
            transactions = await peer.requests.request_pooled_transactions(wanted)
            asked_for = [transaction for transaction in transactions if transaction.hash in missing]
            if len(asked_for) < len(transactions):
                peer.requests.report_useless_answer()
            missing -= {transaction.hash for transaction in asked_for}
            self.transactions_received(peer, asked_for)
        finally:
            # Another peer that announced the transaction may be asked at once.
            for hash_ in missing:
                self._asked.pop(hash_, None)
            if missing and self._announced:
                self._fetch_needed.set()
