"""A network of simulated validators with the invariants that must hold after every step."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence

from lacnode.consensus.bft.payloads import Payload, SignedPayload
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.storage.storage_errors import StorageError
from tests.simulation.chain import Speeds
from tests.simulation.connections import Connections
from tests.simulation.disk import VirtualDisk
from tests.simulation.invariants import Broken, Invariants
from tests.simulation.ledger import Ledger, Rules, genesis_block
from tests.simulation.life import Life
from tests.simulation.links import Links, Weather
from tests.simulation.node import NodeDisk, SimulatedNode, SpeedsOf
from tests.simulation.operator_log import Notes, log_as
from tests.simulation.play import START_MS, story_nursery, virtual_clock
from tests.simulation.wire import Wire

LIAR_MESSAGES_PER_SECOND = 40
"""What a Byzantine node may put on the wire, each message to any number of peers; the rest is lost.

Two liars who alter and return each other's messages would else raise a storm of ever new bytes, as every honest node
passes each of them on once, like Besu. An honest node among ten says and relays about twenty messages a second.
"""

Interceptor = Callable[[int, int, bytes, frozenset[bytes]], bool]
"""Called for what a Byzantine node sends; True if it has dealt with the message itself."""


class SimulatedNetwork:
    """`size` nodes, of which the first `validators` (all, if not given) are the validators of the genesis. Those whose
    numbers are in `byzantine` may lie: their promises are not checked. Made inside a story (`play`), with which it ends."""

    def __init__(
        self,
        size: int,
        rng: random.Random,
        *,
        rules: Rules | None = None,
        weather: Weather | None = None,
        validators: int | None = None,
        byzantine: frozenset[int] = frozenset(),
        speeds: SpeedsOf = lambda index: Speeds(),
    ) -> None:
        self.rng = rng
        self.rules = rules or Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000)
        self.clock = virtual_clock()
        self.links = Links(self.clock, rng, weather or Weather())
        self.byzantine = byzantine
        keys = sorted(
            (NodeKey.from_private_key(keccak256(b"validator %d" % i)) for i in range(size)), key=lambda key: key.address
        )
        self.addresses = tuple(key.address for key in keys)
        self.genesis = genesis_block(self.addresses[:validators], START_MS // 1000 - 1, self.rules.protocols)
        self.wire = Wire(self.rules.protocols)
        self.invariants = Invariants(self.addresses, byzantine, self.rules.protocols)
        self.nodes = [
            SimulatedNode(i, key, NodeDisk(self._ledger()), self.clock, rng, self, speeds(i))
            for i, key in enumerate(keys)
        ]
        self.connections = Connections(self.nodes, self.links, self.clock, rng, self.wire)
        self.interceptors: dict[int, Interceptor] = {}
        self.notes: Notes = Counter()
        self.finisher_loss = 0.0
        """How often the first node to have a block dies of it and stays away, half the time with all others for a
        moment: the worst time to go, as nobody else may know that the block is final."""
        self.crash_chance = 0.0
        self.crash_limit = 0
        self._trace = hashlib.blake2b(digest_size=8)
        self._rations: Counter[tuple[int, int]] = Counter()
        self._stopped: set[int] = set()
        self._nursery = story_nursery()
        self.connections.watch()

    def _ledger(self) -> Ledger:
        return Ledger(self.genesis, self.rules)

    @property
    def honest(self) -> list[SimulatedNode]:
        return [node for node in self.nodes if node.index not in self.byzantine]

    @property
    def height(self) -> int:
        """The lowest head among the honest nodes."""
        return min(node.height for node in self.honest)

    @property
    def trace(self) -> str:
        """A hash of everything that was signed, sent, imported, started and crashed, by whom and when."""
        return self._trace.hexdigest()

    # -- running -------------------------------------------------------------------------------------------------

    def start(self, indices: Sequence[int] | None = None) -> None:
        """Start the named nodes, all without names, and let them find each other."""
        for index in range(len(self.nodes)) if indices is None else indices:
            self._stopped.discard(index)
            if not self.nodes[index].running:
                self._start(self.nodes[index])

    def _start(self, node: SimulatedNode) -> None:
        try:
            node.start()
        except StorageError:
            # A disk that lies can lose a part of a file. The node says so and stays down.
            if not node.disk.files.forgets_flushes:
                raise

    def stop(self, indices: Sequence[int]) -> None:
        """Crash the named nodes, and do not start them again by themselves."""
        for index in indices:
            self._stopped.add(index)
            self.nodes[index].crash()

    def wipe(self, index: int) -> None:
        """The node loses its data directory while it is stopped."""
        self.nodes[index].disk = NodeDisk(self._ledger(), VirtualDisk())
        self.invariants.forget(self.addresses[index])

    def partition(self, sides: dict[int, int]) -> None:
        """Cut the network; `{}` heals it, and the nodes find each other again."""
        self.links.partition(sides)
        self.connections.look()

    async def run_for(self, milliseconds: int) -> None:
        """Let that much time pass."""
        await self.clock.run_until(lambda: False, milliseconds)

    async def run_until(self, reached: Callable[[], bool], within_ms: int) -> bool:
        """Let time pass until `reached()`; False if `within_ms` milliseconds were not enough."""
        return await self.clock.run_until(reached, within_ms)

    def keep_restarting(self, max_pause_ms: int) -> None:
        """From now on a node that crashed comes back by itself within `max_pause_ms`."""

        def look() -> None:
            for node in self.nodes:
                if not node.running and node.index not in self._stopped:
                    self.start([node.index])
            self.clock.after(self.rng.randint(1, max_pause_ms), look)

        look()

    # -- what nodes reach (`node.Outside`) -------------------------------------------------------------------------

    def started(self, index: int, life: Life) -> None:
        self._record("started", index)
        self._nursery.start_soon(self._live, index, life)
        self.clock.after(0, lambda: self.connections.introduce(index))

    def crashed(self, index: int, life: Life) -> None:
        self._record("crashed", index)
        self.connections.end_with(life)

    def send(self, source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        if len(self.rules.protocols.steps) > 1:
            self._check(lambda: self.invariants.sent(self.addresses[source], code, data))
        interceptor = self.interceptors.get(source)
        if interceptor is None or not interceptor(source, code, data, recipients):
            self.transmit(source, code, data, recipients)

    def transmit(self, source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        """Put a message on the wire to each of `recipients`."""
        life = self.nodes[source].life
        if life is None or (source in self.byzantine and not self._has_ration(source)):
            return
        self._record("sent", source, code, data)
        life.consensus_network.send_to_peers(code, data, recipients)

    def signed(self, index: int, payload: SignedPayload[Payload]) -> None:
        self._record("signed", index, payload.signature)
        self._check(lambda: self.invariants.signed(self.addresses[index], payload))

    def imported(self, index: int, block: Block) -> None:
        self._record("imported", index, block.number)
        is_first = all(node.height < block.number for node in self.nodes if node.index != index)
        self._check(lambda: self.invariants.imported(index, block))
        if self.finisher_loss > 0 and is_first and self.rng.random() < self.finisher_loss:
            self.clock.after(0, lambda: self._lose_finisher(index))

    def steal_cpu(self, index: int, slowness: float, lag_ms: int) -> None:
        """From now on node `index` executes `slowness` times slower, and gets to its messages `lag_ms` later: the rest of
        its processor answers RPC calls."""
        self.nodes[index].speeds.slowness = slowness
        self.links.lag_ms[index] = lag_ms

    def strike(self, index: int, step: str) -> bool:
        """Whether the power goes on node `index` right before it does `step`, something that lasts."""
        if self.crash_limit <= 0 or self.rng.random() >= self.crash_chance:
            return False
        self.crash_limit -= 1
        return True

    def _has_ration(self, source: int) -> bool:
        """Take one message off what this liar may send within the current second."""
        second = (source, self.clock.now_ms // 1000)
        self._rations[second] += 1
        return self._rations[second] <= LIAR_MESSAGES_PER_SECOND

    def _lose_finisher(self, index: int) -> None:
        indices = range(len(self.nodes))
        everybody = self.rng.random() < 0.5
        self.stop(indices if everybody else [index])
        others = [other for other in indices if other != index]
        self.clock.after(self.rng.randint(1, 3_000), lambda: self.start(others))
        self.clock.after(self.rng.randint(5_000, 15_000), lambda: self.start([index]))

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _live(self, index: int, life: Life) -> None:
        log_as(index, self.notes)
        try:
            await life.run()
        except* StorageError:
            if life is self.nodes[index].life:
                self.nodes[index].crash()
        except* Exception as errors:
            self.clock.fail(_first(errors))

    def _check(self, invariant: Callable[[], None]) -> None:
        """A broken invariant ends the story at once, whoever would catch the exception here."""
        try:
            invariant()
        except Broken as broken:
            self.clock.fail(broken)

    def _record(self, *what: object) -> None:
        self._trace.update(repr((self.clock.now_ms, what)).encode())


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
