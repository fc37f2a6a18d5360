"""Nodes that came before they were permitted, to be met as soon as they are: by then they may themselves wait for half a
minute. Must not decide who is permitted.
"""

from collections import OrderedDict
from collections.abc import Callable

from lacnode.p2p.wire.enode import Enode

MAX_REFUSED_DIALERS = 64
"""The newest are remembered: strangers may knock as often as they like."""


class RefusedDialers:
    """The last of them, one each for a node id."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[bytes, Enode] = OrderedDict()

    def add(self, enode: Enode) -> None:
        """This node came and was not permitted."""
        self._nodes[enode.id] = enode
        self._nodes.move_to_end(enode.id)
        if len(self._nodes) > MAX_REFUSED_DIALERS:
            self._nodes.popitem(last=False)

    def pop_permitted(self, permitted: Callable[[Enode], bool]) -> list[Enode]:
        """Those that are permitted now, oldest first. They are remembered no longer."""
        found = [enode for enode in self._nodes.values() if permitted(enode)]
        for enode in found:
            del self._nodes[enode.id]
        return found
