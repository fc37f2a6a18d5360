"""The network's policy on a permissioned chain: decisions made in a worker thread, answers given at once.

The event loop runs no contract code. What is not known yet is refused and looked up; when it is known, or when rules,
head or peers have changed, everything known is decided anew and the network looks again. Must not hold rules of its own.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
import trio

from lacnode.node.permissioning_rules import CONTRACT_TIMEOUT_SECONDS, PermissioningRules
from lacnode.p2p.connection_policies import ALLOWED, ConnectionDecision
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_permissions import PermissioningContext

log = structlog.get_logger("permissioning")

EXPLANATION_INTERVAL_BLOCKS = 15
"""Blocks during which a refusal is not explained again: an explanation asks much more than the decision."""

MAX_KNOWN_CONNECTIONS, MAX_UNKNOWN_CONNECTIONS = 2048, 256
LOOKUP_PENDING = ConnectionDecision(False, "its permission is being looked up")


@dataclass(frozen=True, slots=True)
class _Connection:
    """A connection between this node and another, as the rules see it: they know no discovery port."""

    enode: Enode
    inbound: bool

    @classmethod
    def from_enode(cls, enode: Enode, inbound: bool) -> "_Connection":
        """A connection that was opened by the other where it is `inbound`."""
        return cls(replace(enode, udp=None), inbound)


class PermissioningPolicy:
    """A `ConnectionPolicy`. `own` is this node's enode, `context` what the rules look at now, `changed` is called when
    answers are new. Used on the event loop only."""

    def __init__(
        self,
        permissions: PermissioningRules,
        own: Callable[[], Enode],
        context: Callable[[], PermissioningContext],
        changed: Callable[[], None],
    ) -> None:
        self._permissions = permissions
        self._own = own
        self._permissioning_context = context
        self._refused = permissions.refused
        self._changed = changed
        self._explained: OrderedDict[_Connection, tuple[int, Decision]] = OrderedDict()
        self._known: OrderedDict[_Connection, Decision] = OrderedDict()
        self._unknown: set[_Connection] = set()
        self._is_stale = False
        self._wake = trio.Event()
        self._limiter = trio.CapacityLimiter(1)

    def may_dial(self, enode: Enode) -> ConnectionDecision:
        """Whether this node may connect to `enode`."""
        return self._find_decision(_Connection.from_enode(enode, inbound=False))

    def may_accept(self, enode: Enode) -> ConnectionDecision:
        """Whether `enode` may connect to this node."""
        return self._find_decision(_Connection.from_enode(enode, inbound=True))

    def may_stay(self, enode: Enode, inbound: bool) -> ConnectionDecision:
        """The same for a connection there is."""
        return self._find_decision(_Connection.from_enode(enode, inbound))

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Decide about this connection, if that has not been done. Whoever does not wait for it is answered when it comes
        again."""
        link = _Connection.from_enode(enode, inbound)
        if link in self._known:
            return
        try:
            self._remember(await self._decide([link]))
        except trio.Cancelled:
            self._look_up(link)
            raise

    def mark_stale(self) -> None:
        """Rules, head or peers are not what they were: decide everything anew, soon."""
        self._is_stale = True
        self._wake.set()

    async def run(self) -> None:
        """Look up what is unknown and what may have changed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            links = {*self._unknown, *(self._known if self._is_stale else ())}
            self._unknown.clear()
            self._is_stale = False
            if links and self._remember(await self._decide(list(links))):
                self._changed()

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def _decide(self, links: list[_Connection]) -> dict[_Connection, Decision]:
        own, context = self._own(), self._permissioning_context()

        def decide() -> dict[_Connection, Decision]:
            return {link: self._decision(link, own, context) for link in links}

        return await trio.to_thread.run_sync(decide, limiter=self._limiter)

    def _decision(self, link: _Connection, own: Enode, context: PermissioningContext) -> Decision:
        ends = (link.enode, own) if link.inbound else (own, link.enode)
        decision = self._permissions.nodes.decide(*ends, context, CONTRACT_TIMEOUT_SECONDS)
        if decision.allowed:
            self._explained.pop(link, None)
            if link not in self._known:
                self._hint(link, context)
            return decision
        block, explained = self._explained.get(link, (-EXPLANATION_INTERVAL_BLOCKS, decision))
        if explained.rule != decision.rule or context.header.number >= block + EXPLANATION_INTERVAL_BLOCKS:
            explained = self._permissions.explain_connection(*ends, context)
            if explained.allowed:  # The contract has been slow, and is not any more: the next decision will say so.
                return decision
            self._explained[link] = (context.header.number, explained)
            if len(self._explained) > MAX_KNOWN_CONNECTIONS:
                self._explained.popitem(last=False)
        return explained

    def _hint(self, link: _Connection, context: PermissioningContext) -> None:
        """The key decides; that a permitted node is not where it was listed is worth a line."""
        hint = self._permissions.address_hint(link.enode, context.header)
        if hint is not None:
            log.info("a permitted node has moved", peer=str(link.enode), reason=hint)

    def _remember(self, decisions: dict[_Connection, Decision]) -> bool:
        """Keep `decisions`; True if one of them is not what was known."""
        changed = False
        for link, decision in decisions.items():
            before = self._known.get(link)
            changed = changed or before is None or before.allowed != decision.allowed
            self._known[link] = decision
        while len(self._known) > MAX_KNOWN_CONNECTIONS:
            self._known.popitem(last=False)
        return changed

    def _find_decision(self, link: _Connection) -> ConnectionDecision:
        decision = self._known.get(link)
        if decision is None:
            self._look_up(link)
            return LOOKUP_PENDING
        self._known.move_to_end(link)
        if decision.allowed:
            self._refused.remove(link.enode.id)
            return ALLOWED
        if self._refused.note(link.enode, link.inbound, decision):
            log.info("connection refused", peer=str(link.enode), inbound=link.inbound, reason=str(decision))
        return ConnectionDecision(False, str(decision))

    def _look_up(self, link: _Connection) -> None:
        if len(self._unknown) < MAX_UNKNOWN_CONNECTIONS:
            self._unknown.add(link)
            self._wake.set()
