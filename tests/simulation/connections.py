"""Who is connected to whom: sessions begin when nodes can reach each other, and end with a node or a lost wire."""

import random
from collections.abc import Callable, Sequence

from lacnode.consensus.bft.payloads import MessageKind
from lacnode.p2p.supported_capabilities import CONSENSUS_MESSAGES
from lacnode.p2p.wire.capabilities import Route
from tests.simulation.clock import VirtualClock
from tests.simulation.life import Life
from tests.simulation.links import Links
from tests.simulation.node import SimulatedNode
from tests.simulation.session import End, Session
from tests.simulation.wire import Wire

LOOK_EVERY_MS = 1_000
SILENCE_MS = 30_000
"""A session over a wire that carries nothing ends after so long (production: two pings without an answer)."""


class Connections:
    """The sessions between `nodes` over `links`."""

    def __init__(
        self, nodes: Sequence[SimulatedNode], links: Links, clock: VirtualClock, rng: random.Random, wire: Wire
    ) -> None:
        self._wire = wire
        self.commit_loss = 0.0
        """The part of all commits that gets lost: blocks that are prepared, and final for few or nobody."""
        self._nodes = nodes
        self._links = links
        self._clock = clock
        self._rng = rng
        self._sessions: dict[tuple[int, int], Session] = {}
        self._torn_at: dict[tuple[int, int], int] = {}
        self._dialling: set[tuple[int, int]] = set()

    def watch(self) -> None:
        """From now on connect who is not connected, again and again."""
        self.look()
        self._clock.after(LOOK_EVERY_MS, self.watch)

    def look(self) -> None:
        """End sessions whose wire was cut, and dial where there is none."""
        for (a, b), session in list(self._sessions.items()):
            heals = session.is_torn and self._links.connected(a, b)
            if heals or (session.is_torn and self._clock.now_ms - self._torn_at[a, b] > SILENCE_MS):
                session.close("the connection was lost")
        for a, node in enumerate(self._nodes):
            if node.running:
                self.introduce(a)

    def introduce(self, a: int) -> None:
        """Dial whom node `a` can reach and has no session with."""
        for b, other in enumerate(self._nodes):
            pair = min(a, b), max(a, b)
            if a != b and other.running and pair not in self._sessions and pair not in self._dialling:
                self._dial(pair)

    def end_with(self, life: Life) -> None:
        """`life` has ended, and all its sessions with it."""
        for session in list(self._sessions.values()):
            if life in (end.life for end in session.ends):
                session.close("the other node is gone")

    def _dial(self, pair: tuple[int, int]) -> None:
        a, b = pair
        if self._links.connected(a, b) and not self._denied(a, b):
            self._dialling.add(pair)
            self._clock.after(self._rng.randint(1, 100), lambda: self._begin(pair))

    def _begin(self, pair: tuple[int, int]) -> None:
        self._dialling.discard(pair)
        a, b = self._nodes[pair[0]].life, self._nodes[pair[1]].life
        if a is None or b is None or not (a.can_meet and b.can_meet) or not self._links.connected(*pair):
            return
        session = Session(a, b, self, self._ended)
        self._sessions[pair] = session
        session.begin()

    def _ended(self, session: Session) -> None:
        pair = _pair(session)
        del self._sessions[pair]
        self._torn_at.pop(pair, None)
        if all(end.life.is_running for end in session.ends):
            self._dial(pair)

    def _denied(self, a: int, b: int) -> bool:
        one, other = self._nodes[a], self._nodes[b]
        until = max(one.denied.get(other.key.public_key, 0), other.denied.get(one.key.public_key, 0))
        return until > self._clock.now_ms

    # -- the wire of a session (`session.Wire`) --------------------------------------------------------------------

    def busy_ms(self, size_bytes: int) -> int:
        return self._links.busy_ms(size_bytes)

    def carry(self, end: End, route: Route, deliver: Callable[[], None]) -> None:
        source, target = end.life.node.index, end.remote.life.node.index
        is_consensus = route.protocol in CONSENSUS_MESSAGES
        is_commit = is_consensus and self._wire.kind(route.code) == MessageKind.COMMIT
        if is_commit and self.commit_loss > 0 and self._rng.random() < self.commit_loss:
            return
        if self._links.carry(source, target, deliver, may_lose=is_consensus):
            return
        pair = min(source, target), max(source, target)
        if pair in self._sessions:
            self._sessions[pair].is_torn = True
            self._torn_at.setdefault(pair, self._clock.now_ms)


def _pair(session: Session) -> tuple[int, int]:
    a, b = sorted(end.life.node.index for end in session.ends)
    return a, b
