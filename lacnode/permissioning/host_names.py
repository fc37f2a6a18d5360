"""What the host names in a local list stand for, remembered, so that whoever decides never waits for a name server.

Follows Besu's `EnodeURLImpl` under `--Xdns-enabled`: nodes are compared by IP address, never by name. Besu looks a name up
whenever it compares, if updates are on; here that is done beside the decisions, about as often as Java would ask again.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from lacnode.p2p.wire.enode import Enode

LOOK_UP_INTERVAL_SECONDS = 30.0
"""How old an address may become where names are looked up again: what Java remembers one for."""
LOOK_UP_SECONDS = 10.0
"""What all names of a list together may take; those that take longer have no address for now."""
LOOK_UP_THREADS = 16

Answer = tuple[str, str | None]


@dataclass(slots=True)
class HostNames:
    """`look_up` gives a name's IP address, or raises LookupError; it may block. `update`: names are looked up again from
    time to time, and one without an address is no mistake. Safe to use from several threads."""

    look_up: Callable[[str], str]
    update: bool = False
    _addresses: dict[str, str] = field(default_factory=dict)

    def learn(self, enodes: Iterable[Enode], *, again: bool = False) -> None:
        """Look up the names in `enodes` that have no address yet, all of them if `again`; for `LOOK_UP_SECONDS` at most.
        A name that has lost its address keeps the last one, as in Besu."""
        names = {enode.host for enode in enodes if enode.is_named}
        self._addresses = self._addresses | self._found(names if again else names - self._addresses.keys())

    def place(self, enode: Enode) -> Enode:
        """`enode` at the address that its name is known to have; as it is if it has no name, or the name no address."""
        return replace(enode, host=self._addresses.get(enode.host, enode.host))

    def unknown(self, enodes: Iterable[Enode]) -> list[str]:
        """The names in `enodes` that have no address, each once."""
        names = dict.fromkeys(enode.host for enode in enodes if enode.is_named)
        return [name for name in names if name not in self._addresses]

    def _found(self, names: set[str]) -> dict[str, str]:
        """Those of `names` that have an address and were quick enough. The threads end by themselves."""
        waiting: SimpleQueue[str] = SimpleQueue()
        answers: SimpleQueue[Answer] = SimpleQueue()
        for name in names:
            waiting.put(name)
        for _ in range(min(LOOK_UP_THREADS, len(names))):
            threading.Thread(target=self._work, args=(waiting, answers), daemon=True).start()
        found: dict[str, str] = {}
        deadline = time.monotonic() + LOOK_UP_SECONDS
        try:
            for _ in names:
                name, address = answers.get(timeout=max(0.0, deadline - time.monotonic()))
                if address is not None:
                    found[name] = address
        except Empty:
            _forget(waiting)
        return found

    def _work(self, waiting: "SimpleQueue[str]", answers: "SimpleQueue[Answer]") -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except Empty:
                return
            try:
                answers.put((name, self.look_up(name)))
            except LookupError:
                answers.put((name, None))


def _forget(waiting: "SimpleQueue[str]") -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        return
