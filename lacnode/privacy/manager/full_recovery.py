"""The recovery of everything: a manager whose store was lost asks the managers that it knows, page after page, until
each has answered to the end or was asked often enough.

A stranger can run servers that answer slowly, or with pages without end. So the managers have turns, and each turn is
one page. The next turn goes to the host that took the least time so far. Several turns run at the same time, at most
one for a host. The managers at the operator's URLs come before all others. Managers that give refused payloads have one
page a second together. This module must not know what is in a page.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lacnode.privacy.manager.payload_recovery import PayloadRecovery, RecoveredPage

MAX_FULL_RECOVERIES_AT_ONCE = 4
"""The largest number of managers that are asked for everything at the same time. Their answers may be large."""

MAX_PAGES = 10_000
"""The largest number of pages of one manager for one own key. The other manager says where the next page begins."""

MAX_USELESS_ANSWERS = 12
"""The number of answers without a page, one after the other, after which a manager is not asked for everything again."""

LONGEST_PAUSE_SECONDS = 60.0

REFUSED_PAGE_PAUSE_SECONDS = 1.0
"""The time between two pages of managers whose last page had more refused payloads than accepted ones, or a malformed part.
It is for all of them together. Each payload is opened before it is refused, and a stranger can give them without end. An
honest manager can have many of them too, so it is read to the end."""


@dataclass(slots=True)
class _Job:
    """What is left of one manager: the pages after the number `after`. It is due at `due` (seconds of the clock).
    `failures` answers one after the other gave no page. `is_refused` says that its last page had more refused payloads
    than accepted ones. `last_turn` is the number of its last turn, or of the one before it was new."""

    own: bytes
    key: bytes
    host: str = ""
    last_turn: int = 0
    after: int = 0
    pages: int = 0
    failures: int = 0
    due: float = 0.0
    is_refused: bool = False
    is_finished: bool = False


class FullRecovery:
    """Asks every manager for everything, in turns of one page each. `recovery` reads and stores the pages. `trusted`
    are URLs of the operator: their hosts come first. Safe to use from several threads: each one asks another host.
    `clock` returns monotonic seconds."""

    def __init__(
        self, recovery: PayloadRecovery, trusted: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recovery = recovery
        self._trusted = frozenset(map(_host, trusted))
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[tuple[bytes, bytes], _Job] = {}
        self._seconds: dict[str, float] = {}
        """The time that each host took."""
        self._asked: set[str] = set()
        self._turn = 0
        self._refused_due = 0.0
        """The time from which on managers with refused payloads are asked again."""

    def set_managers(self, urls_by_key: Mapping[bytes, str]) -> None:
        """Set the managers to ask: public keys (32 bytes) and the URLs of their managers. A key that was set before
        goes on after its last page, and a key that is not in `urls_by_key` any more is forgotten. Own keys in it are
        ignored. Nothing is asked here."""
        own_keys = self._recovery.own_keys
        with self._lock:
            # The caller's table of managers is bounded. So this one is, too.
            self._jobs = {
                (own, key): self._jobs.get((own, key)) or _Job(own, key, last_turn=self._turn)
                for own in own_keys
                for key in urls_by_key
                if key not in own_keys
            }
            for job in self._jobs.values():
                job.host = _host(urls_by_key[job.key])
            # A new host begins with the least time of the others. It would otherwise come before the honest ones, and a
            # stranger can have one new host after the other.
            hosts, least = {job.host for job in self._jobs.values()}, min(self._seconds.values(), default=0.0)
            self._seconds = {host: self._seconds.get(host, least) for host in hosts}

    def ask_next(self) -> int | None:
        """Ask the manager whose turn it is for its next page, and store what is missing. Return the number of payloads
        that were stored, 0 also if the manager gave no usable answer. None if no manager is due, or if other threads
        ask the hosts of all that are due. This blocks for the time of the calls.

        EnclaveUnreachableError if the own store fails.
        """
        turn = self._begin_turn()
        if turn is None:
            return None
        # The manager may move to another host meanwhile.
        (job, host), started, page = turn, self._clock(), None
        try:
            page = self._recovery.recover_page(job.own, job.key, job.after)
        finally:
            self._end_turn(job, host, page, self._clock() - started)
        return 0 if page is None else page.stored_count

    def _begin_turn(self) -> tuple[_Job, str] | None:
        with self._lock:
            now = self._clock()
            waiting = [
                job
                for job in self._jobs.values()
                if not job.is_finished
                and job.due <= now
                and job.host not in self._asked
                and not (job.is_refused and now < self._refused_due)
            ]
            job = min(waiting, key=self._rank, default=None)
            if job is None:
                return None
            self._asked.add(job.host)
            if job.is_refused:
                # Other threads may begin a turn before this one ends.
                self._refused_due = now + REFUSED_PAGE_PAUSE_SECONDS
            self._turn += 1
            job.last_turn = self._turn
            return job, job.host

    def _rank(self, job: _Job) -> tuple[bool, float, bool, int]:
        # A manager that gave a payload which the chain needs is likely to be a member. It decides among equals alone: a
        # stranger can send the marker of its own payload.
        is_helpful = self._recovery.has_helped(job.key)
        return job.host not in self._trusted, self._seconds[job.host], not is_helpful, job.last_turn

    def _end_turn(self, job: _Job, host: str, page: RecoveredPage | None, seconds: float) -> None:
        with self._lock:
            self._asked.discard(host)
            if host in self._seconds:
                self._seconds[host] += seconds
            # Also if the page has a malformed part: the payloads before it were opened.
            if page is not None:
                job.is_refused = page.refused_count > page.stored_count
                if job.is_refused:
                    self._refused_due = self._clock() + REFUSED_PAGE_PAUSE_SECONDS
            if page is None or page.next_after is None:
                job.failures += 1
                job.due = self._clock() + min(2.0 ** (job.failures - 1), LONGEST_PAUSE_SECONDS)
                job.is_finished = job.failures >= MAX_USELESS_ANSWERS
                return
            job.failures, job.pages = 0, job.pages + 1
            # A number that does not grow is the end. A manager cannot send the same page again and again.
            job.is_finished = page.next_after <= job.after or job.pages >= MAX_PAGES
            job.after = page.next_after


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
