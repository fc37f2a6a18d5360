"""Who may connect: the seam where permissioning plugs in.

A policy is asked before a dial, after the Hello of an accepted connection, and again for every live session whenever its
answers may have changed (`Network.recheck`). Each answer carries its reason, and comes at once: a policy that has to look
something up says no until it has, and is given time for it by `consult` where a session can wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.p2p.wire.enode import Enode


@dataclass(frozen=True, slots=True)
class ConnectionDecision:
    """Yes or no, and why."""

    allowed: bool
    reason: str


ALLOWED = ConnectionDecision(True, "everybody may connect")


class ConnectionPolicy(Protocol):
    """Decides about connections between this node and another. `inbound` says who opened the connection."""

    def may_dial(self, enode: Enode) -> ConnectionDecision: ...
    def may_accept(self, enode: Enode) -> ConnectionDecision: ...
    def may_stay(self, enode: Enode, inbound: bool) -> ConnectionDecision: ...

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Return once the answers about this connection are known."""
        ...


class AllowAllPolicy:
    """No permissioning."""

    def may_dial(self, enode: Enode) -> ConnectionDecision:
        return ALLOWED

    def may_accept(self, enode: Enode) -> ConnectionDecision:
        return ALLOWED

    def may_stay(self, enode: Enode, inbound: bool) -> ConnectionDecision:
        return ALLOWED

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Always known."""


class DenyListPolicy:
    """Cuts off the nodes with the ids it holds, which may change while the network runs: a devnet's partitions, and
    `--banned-node-ids`."""

    def __init__(self, reason: str, denied: Iterable[bytes] = ()) -> None:
        self.denied = frozenset(denied)
        self._reason = reason

    def may_dial(self, enode: Enode) -> ConnectionDecision:
        return self._find_decision(enode)

    def may_accept(self, enode: Enode) -> ConnectionDecision:
        return self._find_decision(enode)

    def may_stay(self, enode: Enode, inbound: bool) -> ConnectionDecision:
        return self._find_decision(enode)

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Always known."""

    def _find_decision(self, enode: Enode) -> ConnectionDecision:
        return ConnectionDecision(False, self._reason) if enode.id in self.denied else ALLOWED


class CombinedPolicy:
    """Allows what every one of `policies` allows; the first refusal is the answer."""

    def __init__(self, policies: Iterable[ConnectionPolicy]) -> None:
        self._policies = tuple(policies)

    def may_dial(self, enode: Enode) -> ConnectionDecision:
        return _first_refusal(policy.may_dial(enode) for policy in self._policies)

    def may_accept(self, enode: Enode) -> ConnectionDecision:
        return _first_refusal(policy.may_accept(enode) for policy in self._policies)

    def may_stay(self, enode: Enode, inbound: bool) -> ConnectionDecision:
        return _first_refusal(policy.may_stay(enode, inbound) for policy in self._policies)

    async def consult(self, enode: Enode, inbound: bool) -> None:
        """Known once every policy knows."""
        for policy in self._policies:
            await policy.consult(enode, inbound)


def _first_refusal(decisions: Iterable[ConnectionDecision]) -> ConnectionDecision:
    return next((decision for decision in decisions if not decision.allowed), ALLOWED)
