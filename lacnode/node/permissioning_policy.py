"""The network's policy on a permissioned chain: decisions made in a worker thread, answers given at once.

The event loop runs no contract code. A connection without a decision is refused and looked up. When its decision is
there, or when rules, head or peers have changed, all known connections are decided again, and the network asks again.
Must not hold rules of its own.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import structlog
import trio

from lacnode.node.permissioning_rules import CONTRACT_TIMEOUT_SECONDS, PermissioningRules
from lacnode.p2p.connection_policies import LOOKUP_PENDING_RULE, THIS_NODE, Connection
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_permissions import PermissioningContext

log = structlog.get_logger("permissioning")

EXPLANATION_INTERVAL_BLOCKS = 15
"""Blocks during which a refusal is not explained again: an explanation asks much more than the decision."""

MAX_KNOWN_CONNECTIONS, MAX_UNKNOWN_CONNECTIONS = 2048, 256
LOOKUP_PENDING = Decision(False, LOOKUP_PENDING_RULE, THIS_NODE, None, "its permission is being looked up")


class PermissioningPolicy:
    """A `ConnectionPolicy` that asks `permissions`. Used on the event loop only.

    `context` gives the head, the validators and the sync state that the rules look at now.
    """

    def __init__(self, permissions: PermissioningRules, context: Callable[[], PermissioningContext]) -> None:
        self._permissions = permissions
        self._permissioning_context = context
        self._refused = permissions.refused_connections
        self._listeners: list[Callable[[], None]] = []
        self._explained: OrderedDict[Connection, tuple[int, Decision]] = OrderedDict()
        self._known: OrderedDict[Connection, Decision] = OrderedDict()
        self._unknown: set[Connection] = set()
        self._is_stale = False
        self._wake = trio.Event()
        self._limiter = trio.CapacityLimiter(1)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the event loop after `run` has made a decision about a connection that had none, or that
        was allowed and is refused now, or the other way round. Decisions of `prepare_decision` do not call it."""
        self._listeners.append(listener)

    def decide(self, connection: Connection) -> Decision:
        """Return the known decision about `connection`. Without one return the refusal `LOOKUP_PENDING` and let `run`
        look it up, unless `MAX_UNKNOWN_CONNECTIONS` wait for that. It returns at once. A known refusal is recorded in
        `refused_connections`, and a permission ends that record."""
        return self._find_decision(_without_discovery_port(connection))

    async def prepare_decision(self, connection: Connection) -> None:
        """Decide about `connection` in a thread, and keep the decision for `decide`. Do nothing if the connection has a
        decision already. If the caller is cancelled, `run` makes the decision later."""
        link = _without_discovery_port(connection)
        if link in self._known:
            return
        try:
            self._remember(await self._decide([link]))
        except trio.Cancelled:
            self._look_up(link)
            raise

    def mark_stale(self) -> None:
        """Let `run` decide all known connections again soon, because rules, head or peers have changed. Until then the
        old decisions hold."""
        self._is_stale = True
        self._wake.set()

    async def run(self) -> None:
        """Decide about connections without a decision, and after `mark_stale` about all known ones, until cancelled."""
        while True:
            await self._wake.wait()
            # A new event before the work: a change during the work sets it, and the loop goes round once more.
            self._wake = trio.Event()
            links = {*self._unknown, *(self._known if self._is_stale else ())}
            # Taken before the thread runs. Connections that are asked for meanwhile wait for the next round.
            self._unknown.clear()
            self._is_stale = False
            if links and self._remember(await self._decide(list(links))):
                for listener in self._listeners:
                    listener()

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def _decide(self, links: list[Connection]) -> dict[Connection, Decision]:
        context = self._permissioning_context()

        def decide() -> dict[Connection, Decision]:
            return {link: self._decision(link, context) for link in links}

        return await trio.to_thread.run_sync(decide, limiter=self._limiter)

    def _decision(self, link: Connection, context: PermissioningContext) -> Decision:
        ends = link.dialling_node, link.dialled_node
        # An explanation asks much more than a decision, so only refusals get one.
        decision = self._permissions.nodes.decide(*ends, context, CONTRACT_TIMEOUT_SECONDS)
        if decision.allowed:
            self._explained.pop(link, None)
            if link not in self._known:
                self._hint(link, context)
            return decision
        block, explained = self._explained.get(link, (-EXPLANATION_INTERVAL_BLOCKS, decision))
        # A refusal by another rule is explained at once. The same one is not explained at every block.
        if explained.rule != decision.rule or context.header.number >= block + EXPLANATION_INTERVAL_BLOCKS:
            explained = self._permissions.explain_connection(*ends, context)
            if explained.allowed:  # The contract was slow and has become quick: the next decision will say so.
                return decision
            self._explained[link] = (context.header.number, explained)
            if len(self._explained) > MAX_KNOWN_CONNECTIONS:
                self._explained.popitem(last=False)
        return explained

    def _hint(self, link: Connection, context: PermissioningContext) -> None:
        """Log a permitted node that is at another address than the list says. The key alone decides, so it is
        permitted all the same."""
        hint = self._permissions.moved_node_hint(link.remote, context.header)
        if hint is not None:
            log.info("a permitted node has moved", peer=str(link.remote), reason=hint)

    def _remember(self, decisions: dict[Connection, Decision]) -> bool:
        """Keep `decisions`. Return True if one of them is new, or allows a connection that was refused, or the other
        way round."""
        changed = False
        for link, decision in decisions.items():
            before = self._known.get(link)
            changed = changed or before is None or before.allowed != decision.allowed
            self._known[link] = decision
        while len(self._known) > MAX_KNOWN_CONNECTIONS:
            self._known.popitem(last=False)
        return changed

    def _find_decision(self, link: Connection) -> Decision:
        decision = self._known.get(link)
        if decision is None:
            self._look_up(link)
            return LOOKUP_PENDING
        # The connections that were asked for longest ago are the first to be forgotten.
        self._known.move_to_end(link)
        if decision.allowed:
            self._refused.remove(link.remote.id)
            return decision
        if self._refused.record_refusal(link.remote, link.is_inbound, decision):
            log.info("connection refused", peer=str(link.remote), inbound=link.is_inbound, reason=str(decision))
        return decision

    def _look_up(self, link: Connection) -> None:
        if len(self._unknown) < MAX_UNKNOWN_CONNECTIONS:
            self._unknown.add(link)
            self._wake.set()


def _without_discovery_port(connection: Connection) -> Connection:
    """Return `connection` as the rules see it: they know no discovery port, and a session may know it or not."""
    return replace(connection, remote=replace(connection.remote, udp=None))
