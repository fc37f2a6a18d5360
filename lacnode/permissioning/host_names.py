"""The IP addresses of the host names in a local list. They are kept here, so that a decision never waits for DNS.

Follows Besu's `EnodeURLImpl` with `--Xdns-enabled`: nodes are compared by IP address, never by name. With updates on, Besu
looks up a name at each comparison. This node looks names up in a separate thread instead, about as often as Java's cache
would ask again.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from lacnode.p2p.wire.enode import Enode

LOOK_UP_INTERVAL_SECONDS = 30.0
"""The interval of look-ups if names are looked up again. Java keeps an address for the same time."""
LOOK_UP_SECONDS = 10.0
"""The time limit for all names of a list together. A slower name has no address, or keeps its last one, until the next
look-up."""
LOOK_UP_THREADS = 16

Answer = tuple[str, str | None]


@dataclass(slots=True)
class HostNames:
    """The known addresses of host names. Safe to use from several threads.

    `look_up` returns the IP address of a name as text. It may block, and it raises LookupError if the name has no
    address. `looks_up_again` is the setting that names are looked up from time to time. A name without an address is
    then no mistake. This object looks names up only in `look_up_all`, which its owner calls.
    """

    look_up: Callable[[str], str]
    looks_up_again: bool = False
    _addresses: dict[str, str] = field(default_factory=dict)

    def look_up_all(self, enodes: Iterable[Enode], *, again: bool = False) -> None:
        """Look up the names in `enodes` that have no address yet, or all of them with `again`. IP addresses are
        skipped.

        This blocks for at most `LOOK_UP_SECONDS`. It raises nothing for a name that DNS does not answer. Such a name
        stays without an address, or keeps the last one, as in Besu.
        """
        # The names that have an address are not looked up again without need: each look-up may block for seconds.
        names = {enode.host for enode in enodes if enode.is_named}
        # The new dictionary replaces the old one in one assignment. Readers in other threads need no lock for it.
        self._addresses = self._addresses | self._look_up_in_threads(names if again else names - self._addresses.keys())

    def with_address(self, enode: Enode) -> Enode:
        """Return a copy of `enode` with the known IP address of its host name in place of the name. A host that is an
        IP address, or a name without a known address, stays as it is. Nothing is looked up."""
        return replace(enode, host=self._addresses.get(enode.host, enode.host))

    def names_without_address(self, enodes: Iterable[Enode]) -> list[str]:
        """Return the names in `enodes` that have no known address, in their order. Each name comes once. IP addresses
        do not count."""
        names = dict.fromkeys(enode.host for enode in enodes if enode.is_named)
        return [name for name in names if name not in self._addresses]

    def _look_up_in_threads(self, names: set[str]) -> dict[str, str]:
        """Return the addresses of the `names` that DNS answered in time. The threads end by themselves."""
        # A thread cannot be stopped while the operating system waits for a name server. So the threads are daemons, and
        # this function stops to wait for them at the deadline. Their number is bounded, not the time that one takes.
        waiting: SimpleQueue[str] = SimpleQueue()
        answers: SimpleQueue[Answer] = SimpleQueue()
        for name in names:
            waiting.put(name)
        for _ in range(min(LOOK_UP_THREADS, len(names))):
            threading.Thread(target=self._look_up_until_empty, args=(waiting, answers), daemon=True).start()
        found: dict[str, str] = {}
        deadline = time.monotonic() + LOOK_UP_SECONDS
        try:
            for _ in names:
                name, address = answers.get(timeout=max(0.0, deadline - time.monotonic()))
                if address is not None:
                    found[name] = address
        except Empty:
            # Without this the late threads would go on with all names that are left, against a slow name server.
            _discard_all(waiting)
        return found

    def _look_up_until_empty(self, waiting: "SimpleQueue[str]", answers: "SimpleQueue[Answer]") -> None:
        # A thread works until no name is left. The queue gives each name to one thread.
        while True:
            try:
                name = waiting.get_nowait()
            except Empty:
                return
            try:
                answers.put((name, self.look_up(name)))
            except LookupError:
                answers.put((name, None))


def _discard_all(waiting: "SimpleQueue[str]") -> None:
    try:
        while True:
            waiting.get_nowait()
    except Empty:
        return
