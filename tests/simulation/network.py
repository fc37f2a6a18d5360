"""A network of simulated validators with the invariants that must hold after every step.

Synchronisation is modelled by its outcome: a node that is behind a reachable one gets the blocks after a while, one by
one, and verifies each.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from lacnode.consensus.effects import Effect, Note
from lacnode.consensus.payloads import COMMIT, Payload, SignedPayload
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from tests.simulation.clock import VirtualClock
from tests.simulation.invariants import Invariants
from tests.simulation.ledger import Ledger, Rules, genesis_block
from tests.simulation.links import Links, Weather
from tests.simulation.node import Disk, SimulatedNode, Speeds, Surroundings

START_MS = 1_700_000_000_000
SYNC_MS = 400
"""How often a node that lags asks for blocks."""

MAX_ACTIONS = 600_000
"""Deliveries and timers in the life of one network. Ten validators with three liars need some 50 000."""

LIAR_MESSAGES_PER_SECOND = 40
"""What a Byzantine node may put on the wire, each message to any number of peers; the rest is lost.

Two liars who alter and return each other's messages would else raise a storm of ever new bytes, as every honest node
passes each of them on once, like Besu. An honest node among ten says and relays about twenty messages a second.
"""

Interceptor = Callable[[int, int, bytes, frozenset[bytes]], bool]
"""Called for what a Byzantine node sends; True if it has dealt with the message itself."""


class Network(Surroundings):
    """`size` nodes, of which the first `validators` (all, if not given) are the validators of the genesis. Those whose
    numbers are in `byzantine` may lie: their promises are not checked."""

    def __init__(
        self,
        size: int,
        rng: random.Random,
        *,
        rules: Rules | None = None,
        weather: Weather | None = None,
        validators: int | None = None,
        byzantine: frozenset[int] = frozenset(),
        speeds: Callable[[int], Speeds] = lambda index: Speeds(),
    ) -> None:
        self.rng = rng
        self.rules = rules or Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000)
        self.clock = VirtualClock(START_MS, MAX_ACTIONS)
        self.links = Links(self.clock, rng, weather or Weather())
        self.byzantine = byzantine
        keys = sorted((NodeKey.of(keccak256(b"validator %d" % i)) for i in range(size)), key=lambda key: key.address)
        self.addresses = tuple(key.address for key in keys)
        self._index = {address: index for index, address in enumerate(self.addresses)}
        self.genesis = genesis_block(self.addresses[:validators], START_MS // 1000 - 1)
        self.invariants = Invariants(self.addresses, byzantine)
        self.nodes = [
            SimulatedNode(i, key, Disk(self._ledger()), self.clock, rng, self, speeds(i)) for i, key in enumerate(keys)
        ]
        self.interceptors: dict[int, Interceptor] = {}
        self.notes: Counter[tuple[int, str]] = Counter()
        """How often node `index` said something on a topic."""
        self.commit_loss = 0.0
        """The part of all commits that gets lost: blocks that are prepared, and final for few or nobody."""
        self.finisher_loss = 0.0
        """How often the first node to have a block dies of it and stays away, half the time with all others for a
        moment: the worst time to go, as nobody else may know that the block is final."""
        self.crash_chance = 0.0
        self.crash_limit = 0
        self._rations: Counter[tuple[int, int]] = Counter()
        self._stopped: set[int] = set()
        self._syncing: set[int] = set()

    def _ledger(self) -> Ledger:
        return Ledger(self.genesis, self.rules)

    @property
    def honest(self) -> list[SimulatedNode]:
        return [node for node in self.nodes if node.index not in self.byzantine]

    @property
    def height(self) -> int:
        """The lowest head among the honest nodes."""
        return min(node.height for node in self.honest)

    # -- running -------------------------------------------------------------------------------------------------

    def start(self, indices: Sequence[int] | None = None) -> None:
        """Start the named nodes, all without names, and let them find each other."""
        for index in range(len(self.nodes)) if indices is None else indices:
            self._stopped.discard(index)
            if not self.nodes[index].running:
                self.nodes[index].start()
                self._introduce(index)

    def stop(self, indices: Sequence[int]) -> None:
        """Crash the named nodes, and do not start them again by themselves."""
        for index in indices:
            self._stopped.add(index)
            self.nodes[index].crash()

    def wipe(self, index: int) -> None:
        """The node loses its data directory while it is stopped."""
        self.nodes[index].disk.ledger = self._ledger()
        self.nodes[index].disk.records.clear()
        self.invariants.forget(self.addresses[index])

    def partition(self, sides: dict[int, int]) -> None:
        """Cut the network; `{}` heals it, and the nodes find each other again."""
        before = {(a, b) for a in self._indices for b in self._indices if self.links.connected(a, b)}
        self.links.partition(sides)
        for a in self._indices:
            for b in self._indices:
                if a != b and self.links.connected(a, b) and (a, b) not in before:
                    self._meet(a, b)

    def run_for(self, milliseconds: int) -> None:
        """Let that much time pass."""
        until = self.clock.now_ms + milliseconds
        while self.clock.step(until):
            continue

    def run_until(self, reached: Callable[[], bool], within_ms: int) -> bool:
        """Let time pass until `reached()`; False if `within_ms` milliseconds were not enough."""
        until = self.clock.now_ms + within_ms
        while not reached():
            if not self.clock.step(until):
                return reached()
        return True

    def keep_restarting(self, max_pause_ms: int) -> None:
        """From now on a node that crashed comes back by itself within `max_pause_ms`."""

        def look() -> None:
            for node in self.nodes:
                if not node.running and node.index not in self._stopped:
                    self.start([node.index])
            self.clock.after(self.rng.randint(1, max_pause_ms), look)

        look()

    # -- what nodes reach ----------------------------------------------------------------------------------------

    def send(self, source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        interceptor = self.interceptors.get(source)
        if interceptor is None or not interceptor(source, code, data, recipients):
            self.transmit(source, code, data, recipients)

    def transmit(self, source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        """Put a message on the wire to each of `recipients`."""
        if source in self.byzantine and not self._has_ration(source):
            return
        sender = self.addresses[source]
        for address in sorted(recipients):
            target = self._index.get(address)
            if code == COMMIT and self.commit_loss > 0 and self.rng.random() < self.commit_loss:
                continue
            if target is not None and target != source:
                node = self.nodes[target]
                self.links.carry(source, target, lambda node=node: node.receive(code, data, sender))  # type: ignore[misc]

    def _has_ration(self, source: int) -> bool:
        """Take one message off what this liar may send within the current second."""
        second = (source, self.clock.now_ms // 1000)
        self._rations[second] += 1
        return self._rations[second] <= LIAR_MESSAGES_PER_SECOND

    def signed(self, index: int, payload: SignedPayload[Payload]) -> None:
        self.invariants.signed(self.addresses[index], payload)

    def imported(self, index: int, block: Block) -> None:
        is_first = all(node.height < block.number for node in self.nodes if node.index != index)
        self.invariants.imported(index, block)
        if self.finisher_loss > 0 and is_first and self.rng.random() < self.finisher_loss:
            self.clock.after(0, lambda: self._lose_finisher(index))

    def _lose_finisher(self, index: int) -> None:
        everybody = self.rng.random() < 0.5
        self.stop(self._indices if everybody else [index])
        others = [other for other in self._indices if other != index]
        self.clock.after(self.rng.randint(1, 3_000), lambda: self.start(others))
        self.clock.after(self.rng.randint(5_000, 15_000), lambda: self.start([index]))

    def behind(self, index: int, address: bytes) -> None:
        self._sync_soon(index)

    def noted(self, index: int, note: Note) -> None:
        self.notes[index, note.topic] += 1

    def strike(self, index: int, effect: Effect) -> bool:
        """Whether the power goes on node `index` right before (and for a signature, right after logging) `effect`."""
        if self.crash_limit <= 0 or self.rng.random() >= self.crash_chance:
            return False
        self.crash_limit -= 1
        return True

    # -- finding each other and catching up ------------------------------------------------------------------------

    @property
    def _indices(self) -> range:
        return range(len(self.nodes))

    def _introduce(self, index: int) -> None:
        self._sync_soon(index)
        for other in self._indices:
            if other != index and self.links.connected(index, other):
                self._meet(index, other)
                self._meet(other, index)

    def _meet(self, a: int, b: int) -> None:
        """`a` learns that it reaches `b`."""

        def connected() -> None:
            if self.nodes[b].running and self.links.connected(a, b):
                self.nodes[a].peer_connected(self.addresses[b])
                self._sync_soon(a)

        self.clock.after(self.rng.randint(1, 100), connected)

    def _sync_soon(self, index: int) -> None:
        if index in self._syncing:
            return
        self._syncing.add(index)
        self.clock.after(self.rng.randint(SYNC_MS // 2, SYNC_MS), lambda: self._sync(index))

    def _sync(self, index: int) -> None:
        self._syncing.discard(index)
        node = self.nodes[index]
        sources = [
            other
            for other in self.nodes
            if other.running and other.height > node.height and self.links.connected(index, other.index)
        ]
        if not node.running or not sources:
            return
        source = self.rng.choice(sources)
        for block in list(source.disk.ledger.blocks[node.height + 1 :]):
            if not node.running or not node.import_synced(block):
                break
        self._sync_soon(index)
