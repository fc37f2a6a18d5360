"""Nodes that dialled or pinged this node before they were permitted. This node contacts them once they are permitted: they
may themselves wait for half a minute by then. Must not decide which nodes are permitted.
"""

from collections import OrderedDict
from collections.abc import Callable

from lacnode.p2p.wire.enode import Enode

MAX_REFUSED_DIALERS = 64
"""The number of nodes that are remembered. The newest ones stay: strangers may come as often as they like."""


class RefusedDialers:
    """The last `MAX_REFUSED_DIALERS` nodes that dialled or pinged this node and were not permitted, one for each node
    id.
    """

    def __init__(self) -> None:
        self._nodes: OrderedDict[bytes, Enode] = OrderedDict()

    def add(self, enode: Enode) -> None:
        """Remember a node that was not permitted, as the newest. It replaces an entry with the same id. Beyond
        `MAX_REFUSED_DIALERS` the oldest is forgotten.
        """
        self._nodes[enode.id] = enode
        self._nodes.move_to_end(enode.id)
        if len(self._nodes) > MAX_REFUSED_DIALERS:
            self._nodes.popitem(last=False)

    def pop_permitted(self, permitted: Callable[[Enode], bool]) -> list[Enode]:
        """Return the nodes that are permitted now, oldest first, and forget them."""

        found = [enode for enode in self._nodes.values() if permitted(enode)]
        for enode in found:
            del self._nodes[enode.id]
        return found
