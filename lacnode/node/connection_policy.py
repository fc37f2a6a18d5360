"""The network's policy on a permissioned chain: decisions made in a worker thread, answers given at once.

The event loop runs no contract code. What is not known yet is refused and looked up; when it is known, or when rules,
head or peers have changed, everything known is decided anew and the network looks again. Must not hold rules of its own.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
import trio

from lacnode.node.permissions import ANSWER_SECONDS, Permissions
from lacnode.p2p.policy import ALLOWED, Verdict
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_permissions import Moment

log = structlog.get_logger("permissioning")

EXPLAINED_FOR = 15
"""Blocks during which a refusal is not explained again: an explanation asks much more than the decision."""

MAX_KNOWN, MAX_UNKNOWN = 2048, 256
LOOKING_UP = Verdict(False, "its permission is being looked up")


@dataclass(frozen=True, slots=True)
class _Link:
    """A connection between this node and another, as the rules see it: they know no discovery port."""

    enode: Enode
    inbound: bool

    @classmethod
    def of(cls, enode: Enode, inbound: bool) -> "_Link":
        """A connection that was opened by the other where it is `inbound`."""
        return cls(replace(enode, udp=None), inbound)


class PermissionPolicy:
    """A `ConnectionPolicy`. `own` is this node's enode, `moment` what the rules look at now, `changed` is called when
    answers are new. Used on the event loop only."""

    def __init__(
        self,
        permissions: Permissions,
        own: Callable[[], Enode],
        moment: Callable[[], Moment],
        changed: Callable[[], None],
    ) -> None:
        self._permissions = permissions
        self._own = own
        self._moment = moment
        self._refused = permissions.refused
        self._changed = changed
        self._explained: OrderedDict[_Link, tuple[int, Decision]] = OrderedDict()
        self._known: OrderedDict[_Link, Decision] = OrderedDict()
        self._unknown: set[_Link] = set()
        self._is_stale = False
        self._wake = trio.Event()
        self._limiter = trio.CapacityLimiter(1)

    def may_dial(self, enode: Enode) -> Verdict:
        """Whether this node may connect to `enode`."""
        return self._verdict(_Link.of(enode, inbound=False))

    def may_accept(self, enode: Enode) -> Verdict:
        """Whether `enode` may connect to this node."""
        return self._verdict(_Link.of(enode, inbound=True))

    def may_stay(self, enode: Enode, inbound: bool) -> Verdict:
        """The same for a connection there is."""
        return self._verdict(_Link.of(enode, inbound))

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Decide about this connection, if that has not been done. Whoever does not wait for it is answered when it comes
        again."""
        link = _Link.of(enode, inbound)
        if link in self._known:
            return
        try:
            self._remember(await self._decide([link]))
        except trio.Cancelled:
            self._look_up(link)
            raise

    def stale(self) -> None:
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

    async def _decide(self, links: list[_Link]) -> dict[_Link, Decision]:
        own, moment = self._own(), self._moment()

        def decide() -> dict[_Link, Decision]:
            return {link: self._decision(link, own, moment) for link in links}

        return await trio.to_thread.run_sync(decide, limiter=self._limiter)

    def _decision(self, link: _Link, own: Enode, moment: Moment) -> Decision:
        ends = (link.enode, own) if link.inbound else (own, link.enode)
        decision = self._permissions.nodes.decide(*ends, moment, ANSWER_SECONDS)
        if decision.allowed:
            self._explained.pop(link, None)
            if link not in self._known:
                self._hint(link, moment)
            return decision
        block, explained = self._explained.get(link, (-EXPLAINED_FOR, decision))
        if explained.rule != decision.rule or moment.header.number >= block + EXPLAINED_FOR:
            explained = self._permissions.explain_connection(*ends, moment)
            if explained.allowed:  # The contract has been slow, and is not any more: the next decision will say so.
                return decision
            self._explained[link] = (moment.header.number, explained)
            if len(self._explained) > MAX_KNOWN:
                self._explained.popitem(last=False)
        return explained

    def _hint(self, link: _Link, moment: Moment) -> None:
        """The key decides; that a permitted node is not where it was listed is worth a line."""
        hint = self._permissions.address_hint(link.enode, moment.header)
        if hint is not None:
            log.info("a permitted node has moved", peer=str(link.enode), reason=hint)

    def _remember(self, decisions: dict[_Link, Decision]) -> bool:
        """Keep `decisions`; True if one of them is not what was known."""
        changed = False
        for link, decision in decisions.items():
            before = self._known.get(link)
            changed = changed or before is None or before.allowed != decision.allowed
            self._known[link] = decision
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return changed

    def _verdict(self, link: _Link) -> Verdict:
        decision = self._known.get(link)
        if decision is None:
            self._look_up(link)
            return LOOKING_UP
        self._known.move_to_end(link)
        if decision.allowed:
            self._refused.permitted(link.enode.id)
            return ALLOWED
        if self._refused.add(link.enode, link.inbound, decision):
            log.info("connection refused", peer=str(link.enode), inbound=link.inbound, reason=str(decision))
        return Verdict(False, str(decision))

    def _look_up(self, link: _Link) -> None:
        if len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(link)
            self._wake.set()
