"""The discovery of managers. Each known manager is asked for its party info after 1, 2, 4 ... 60 s, answered or not.

URLs that other managers named are not confirmed. They are called at a bounded rate, with pauses of up to 600 s.
"""

import time

import trio

from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.orion_party_info import decode_orion_party_info
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH
from lacnode.privacy.manager.unanswered_urls import UnansweredUrlLimit
from lacnode.privacy.service.peer_client import HttpPeerSender
from lacnode.rate_limited_log import RateLimitedLog

FIRST_CALL_PAUSE_SECONDS, LONGEST_CALL_PAUSE_SECONDS = 1.0, 60.0
LONGEST_UNANSWERED_PAUSE_SECONDS = 600.0
"""The longest pause between two calls: of a confirmed URL or the operator's URL, and of any other URL."""

DISCOVERY_POLL_SECONDS = 1.0
"""How often the directory is read for new URLs."""

CALLS_AT_ONCE = 16
"""The number of calls at the same time. It is half of all connections, so that silent URLs leave some for payloads."""


class ManagerDiscovery:
    """Asks the known managers for their party info over `sender` and adds the answers to `peers`. Nothing happens before
    `run`, which makes the first calls at once. The pause for one URL then doubles from 1 s up to
    `LONGEST_CALL_PAUSE_SECONDS`. It may reach `LONGEST_UNANSWERED_PAUSE_SECONDS` for a URL that the operator has not
    named and where no manager has answered."""

    def __init__(self, peers: PeerDirectory, sender: HttpPeerSender) -> None:
        self._peers = peers
        self._sender = sender
        self._next_calls: dict[str, tuple[float, float]] = {}
        self._silent: set[str] = set()
        self._limit = UnansweredUrlLimit(peers, trio.current_time)
        # A stranger can have hundreds of URLs, and each is called once a minute.
        self._log = RateLimitedLog("privacy", time.monotonic)

    async def run(self) -> None:
        """Ask the known managers for their party info, again and again, until cancelled. The answers are added to the
        directory. A manager that does not answer is marked silent there, and no error is raised."""
        while True:
            now = trio.current_time()
            self._note_urls(now)
            await self._ask_all(self._urls_to_call(now))
            soonest = min((due for due, _ in self._next_calls.values()), default=now + DISCOVERY_POLL_SECONDS)
            pause = min(soonest, trio.current_time() + DISCOVERY_POLL_SECONDS) - trio.current_time()
            # The pause is never zero: URLs may be due that have no turn yet, and the loop would spin.
            await trio.sleep(max(FIRST_CALL_PAUSE_SECONDS / 10, pause))

    def _note_urls(self, now: float) -> None:
        """Add new URLs, and URLs of managers that called this one. Remove URLs that are no longer known."""
        view = self._peers.party_info
        # The own URL is left out. A manager that calls itself would confirm its own entry.
        known = {url for url in view.urls if url != view.url}
        # A manager that called has just started, probably. Its pause begins again, so that it is called within a second.
        for url in self._peers.pop_new_callers():
            if not self._peers.has_answered(url):
                self._next_calls.pop(url, None)
        self._next_calls = {url: due for url, due in self._next_calls.items() if url in known}
        self._silent &= known
        for url in view.urls:
            if url in known:
                self._next_calls.setdefault(url, (now, FIRST_CALL_PAUSE_SECONDS))

    def _urls_to_call(self, now: float) -> list[str]:
        """Return the URLs to call now: all confirmed ones that are due, and as many others as the rate allows."""
        due = [url for url, (when, _) in self._next_calls.items() if when <= now]
        chosen = [url for url in due if self._peers.has_answered(url)]
        # The others are sorted by their pause: a new URL comes before one that has not answered ten times.
        for url in sorted(set(due).difference(chosen), key=lambda url: self._next_calls[url][1]):
            if not self._limit.take_call(url):
                break
            chosen.append(url)
        return chosen

    async def _ask_all(self, urls: list[str]) -> None:
        """Ask all `urls`. Those that answered the last time come first, so that silent ones do not delay them."""
        body, turn = self._peers.encode_own_party_info(), trio.CapacityLimiter(CALLS_AT_ONCE)

        async def one(url: str) -> None:
            async with turn:
                await self._ask(url, body)

        async with trio.open_nursery() as nursery:
            for url in sorted(urls, key=self._silent.__contains__):
                nursery.start_soon(one, url)
                await trio.lowlevel.checkpoint()

    async def _ask(self, url: str, body: bytes) -> None:
        answer = (await self._sender.post_in_event_loop(PARTY_INFO_PATH, {url: body}))[url]
        # The pause grows whether the manager answers or not. In a settled network each pair speaks once a minute.
        pause = self._next_calls[url][1]
        longest = LONGEST_CALL_PAUSE_SECONDS if self._peers.has_answered(url) else LONGEST_UNANSWERED_PAUSE_SECONDS
        self._next_calls[url] = (trio.current_time() + pause, min(pause * 2, longest))
        # Silent until the answer is there: a call that is cancelled counts as no answer.
        self._silent.add(url)
        if answer is None:
            self._peers.mark_silent(url)
            return
        self._silent.discard(url)
        try:
            # Decoding a large party info takes milliseconds of the processor. The event loop serves the ports
            # meanwhile.
            view = await trio.to_thread.run_sync(decode_orion_party_info, answer)
            await trio.to_thread.run_sync(self._peers.add_party_info, view, "", url)
        except CborError as error:
            self._peers.mark_silent(url)
            self._log.info("party info", f"{url} answers party info with something else: {error}")
