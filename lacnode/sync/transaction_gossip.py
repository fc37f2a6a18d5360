"""Transactions between pools: full to a few peers, hashes to the rest, and fetching what others announce.

Follows Besu 24.1: ceil(sqrt(peers)) random peers get a new transaction whole, the others its hash; a new peer gets the
pool's hashes. What a pool refuses is neither relayed nor held against the peer that sent it.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from lacnode.p2p.peer import Peer, RequestFailedError
from lacnode.primitives.transaction import Transaction
from lacnode.sync.transaction_intake import TransactionIntake

log = structlog.get_logger("gossip")

SEND_WINDOW_SECONDS = 0.02
"""Seconds without a new transaction after which what was gathered is sent."""

MAX_SEND_DELAY_SECONDS = 0.5
"""Seconds for which transactions are gathered where more and more come."""

FETCH_WINDOW_SECONDS = 0.1
"""Seconds during which announced hashes are gathered into one request; Besu waits 0.5."""

MAX_HASHES_PER_REQUEST = 256
"""Hashes in one request: what Besu serves."""

MAX_ANNOUNCED_HASHES = 4096
"""Hashes waiting to be fetched per peer, and sent in one announcement. More are forgotten: others announce them too."""


class TransactionGossip:
    """Moves transactions between `peers` and the pool.

    `admit` offers remote transactions to the pool, in a worker thread; `known` tells which hashes need no fetching.
    """

    def __init__(
        self,
        peers: Callable[[], Iterable[Peer]],
        *,
        admit: Callable[[Sequence[Transaction]], None],
        known: Callable[[bytes], bool],
        pooled: Callable[[], Sequence[Transaction]],
        rng: random.Random,
    ) -> None:
        self._peers = peers
        self._admit = admit
        self._known = known
        self._pooled = pooled
        self._rng = rng
        self._outgoing: list[Transaction] = []
        self._announced: dict[Peer, dict[bytes, None]] = {}
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

    def hashes_received(self, peer: Peer, hashes: Sequence[bytes]) -> None:
        """Remember what `peer` says it has and we lack."""
        waiting = self._announced.setdefault(peer, {})
        for hash_ in hashes:
            if len(waiting) >= MAX_ANNOUNCED_HASHES:
                break
            if not self._known(hash_):
                waiting[hash_] = None
        if waiting:
            self._fetch_needed.set()

    # -- loops ---------------------------------------------------------------------------------------------------

    async def _send_loop(self) -> None:
        while True:
            await self._send_needed.wait()
            await self._gather()
            self._send_needed = trio.Event()
            batch, self._outgoing = self._outgoing, []
            self._propagate(batch)

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
        for position, peer in enumerate(peers):
            if position < whole or peer.eth_version < 65:
                peer.send_transactions(transactions)
            else:
                peer.send_transaction_hashes(transactions)

    async def _fetch_loop(self, nursery: trio.Nursery) -> None:
        """Each peer is asked by a task of its own, so that one that answers late holds up what others announced in no
        way."""
        while True:
            await self._fetch_needed.wait()
            await trio.sleep(FETCH_WINDOW_SECONDS)
            self._fetch_needed = trio.Event()
            for peer in [peer for peer in self._announced if peer not in self._fetching]:
                self._fetching.add(peer)
                nursery.start_soon(self._fetch_from, peer)

    async def _fetch_from(self, peer: Peer) -> None:
        """Ask `peer` for what it has announced, until nothing is left."""
        try:
            while hashes := self._announced.pop(peer, None):
                await self._fetch(peer, list(hashes))
        except RequestFailedError as error:
            log.debug("announced transactions not delivered", peer=peer.enode_text, reason=str(error))
        finally:
            self._fetching.discard(peer)

    async def _fetch(self, peer: Peer, hashes: Sequence[bytes]) -> None:
        for start in range(0, len(hashes), MAX_HASHES_PER_REQUEST):
            wanted = {hash_ for hash_ in hashes[start : start + MAX_HASHES_PER_REQUEST] if not self._known(hash_)}
            if not wanted:
                continue
            transactions = await peer.pooled_transactions(list(wanted))
            asked_for = [transaction for transaction in transactions if transaction.hash in wanted]
            if len(asked_for) < len(transactions):
                peer.report_useless_answer()
            self.received(peer, asked_for)
