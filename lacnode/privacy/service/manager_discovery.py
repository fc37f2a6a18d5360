"""Party info: every known manager is asked for its network view, after 1 s, 2 s, 4 s … 60 s, whether it answers or not.

URLs that have only been heard of are strangers' word: they are called at a bounded rate, and ever more rarely.
"""

import structlog
import trio

from lacnode.fair_share import TokenBucket
from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.orion_party_info import decode_orion_party_info
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH
from lacnode.privacy.service.peer_client import HttpPeerSender

log = structlog.get_logger("privacy")

FIRST_CALL_PAUSE_SECONDS, LONGEST_CALL_PAUSE_SECONDS = 1.0, 60.0
LONGEST_UNANSWERED_PAUSE_SECONDS = 600.0
"""Seconds between two calls of a URL where a manager has answered, or that the operator gave, and of any other."""

DISCOVERY_POLL_SECONDS = 1.0
"""Seconds after which URLs that were learnt meanwhile are seen."""

CALLS_AT_ONCE = 16
"""Calls: half of what there may be, so that strangers' addresses that never answer leave room for payloads."""

UNANSWERED_CALLS_PER_SECOND, UNANSWERED_CALLS_AT_ONCE = 1.0, 60
"""Calls of URLs where no manager has answered yet."""


class ManagerDiscovery:
    """Asks until cancelled. The first calls go out at once."""

    def __init__(self, peers: PeerDirectory, sender: HttpPeerSender) -> None:
        self._peers = peers
        self._sender = sender
        self._due: dict[str, tuple[float, float]] = {}
        self._silent: set[str] = set()
        self._allowance = TokenBucket(UNANSWERED_CALLS_PER_SECOND, UNANSWERED_CALLS_AT_ONCE)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = trio.current_time()
            self._note_urls(now)
            await self._ask_all(self._turns(now))
            soonest = min((due for due, _ in self._due.values()), default=now + DISCOVERY_POLL_SECONDS)
            pause = min(soonest, trio.current_time() + DISCOVERY_POLL_SECONDS) - trio.current_time()
            # Never none: URLs may be due that have no turn yet.
            await trio.sleep(max(FIRST_CALL_PAUSE_SECONDS / 10, pause))

    def _note_urls(self, now: float) -> None:
        """Take up new URLs, and those of managers that called us; let go of those that are not known any more."""
        view = self._peers.view
        known = {url for url in view.urls if url != view.url}
        for url in self._peers.pop_new_callers():
            if not self._peers.has_answered(url):
                self._due.pop(url, None)
        self._due = {url: due for url, due in self._due.items() if url in known}
        self._silent &= known
        for url in view.urls:
            if url in known:
                self._due.setdefault(url, (now, FIRST_CALL_PAUSE_SECONDS))

    def _turns(self, now: float) -> list[str]:
        """What is to be called now: all that is due of the known, and of the others as many as may be."""
        due = [url for url, (when, _) in self._due.items() if when <= now]
        turns = [url for url in due if self._peers.has_answered(url)]
        for url in sorted(set(due).difference(turns), key=lambda url: self._due[url][1]):
            if self._allowance.wait_seconds(now) > 0.0:
                break
            self._allowance.spend(1.0, now)
            turns.append(url)
        return turns

    async def _ask_all(self, urls: list[str]) -> None:
        """Those first that answered the last time."""
        body, turn = self._peers.encode_own_party_info(), trio.CapacityLimiter(CALLS_AT_ONCE)

        async def one(url: str) -> None:
            async with turn:
                await self._ask(url, body)

        async with trio.open_nursery() as nursery:
            for url in sorted(urls, key=self._silent.__contains__):
                nursery.start_soon(one, url)
                await trio.lowlevel.checkpoint()

    async def _ask(self, url: str, body: bytes) -> None:
        answer = (await self._sender.post_all(PARTY_INFO_PATH, {url: body}))[url]
        pause = self._due[url][1]
        longest = LONGEST_CALL_PAUSE_SECONDS if self._peers.has_answered(url) else LONGEST_UNANSWERED_PAUSE_SECONDS
        self._due[url] = (trio.current_time() + pause, min(pause * 2, longest))
        self._silent.add(url)
        if answer is None:
            self._peers.silent(url)
            return
        self._silent.discard(url)
        try:
            view = await trio.to_thread.run_sync(decode_orion_party_info, answer)
            await trio.to_thread.run_sync(self._peers.learn, view, "", url)
        except CborError as error:
            self._peers.silent(url)
            log.info(f"{url} answers party info with what is none: {error}")
