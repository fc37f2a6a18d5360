"""Party info: every known manager is asked for its network view, after 1 s, 2 s, 4 s … 60 s, whether it answers or not."""

import structlog
import trio

from lacnode.privacy.manager.cbor import CborError
from lacnode.privacy.manager.network_view import decode_view, encode_view
from lacnode.privacy.manager.peer_paths import PARTY_INFO
from lacnode.privacy.manager.peers import Peers
from lacnode.privacy.service.peer_client import HttpPeerSender

log = structlog.get_logger("privacy")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LOOK_AGAIN = 1.0
"""Seconds after which URLs that were learnt meanwhile are seen."""

AT_ONCE = 16
"""Calls: half of what there may be, so that strangers' addresses that never answer leave room for payloads."""


class Discovery:
    """Asks until cancelled. The first calls go out at once."""

    def __init__(self, peers: Peers, sender: HttpPeerSender) -> None:
        self._peers = peers
        self._sender = sender
        self._due: dict[str, tuple[float, float]] = {}
        self._silent: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = trio.current_time()
            view = self._peers.view
            for url in view.urls:
                if url != view.url:
                    self._due.setdefault(url, (now, FIRST_PAUSE))
            await self._ask_all([url for url, (due, _) in self._due.items() if due <= now])
            soonest = min((due for due, _ in self._due.values()), default=now + LOOK_AGAIN)
            await trio.sleep(max(0.0, min(soonest, trio.current_time() + LOOK_AGAIN) - trio.current_time()))

    async def _ask_all(self, urls: list[str]) -> None:
        """Those first that answered the last time."""
        body, turn = encode_view(self._peers.view), trio.CapacityLimiter(AT_ONCE)

        async def one(url: str) -> None:
            async with turn:
                await self._ask(url, body)

        async with trio.open_nursery() as nursery:
            for url in sorted(urls, key=self._silent.__contains__):
                nursery.start_soon(one, url)
                await trio.lowlevel.checkpoint()

    async def _ask(self, url: str, body: bytes) -> None:
        answer = (await self._sender.post_all(PARTY_INFO, {url: body}))[url]
        pause = self._due[url][1]
        self._due[url] = (trio.current_time() + pause, min(pause * 2, LONGEST_PAUSE))
        self._silent.add(url)
        if answer is None:
            return
        self._silent.discard(url)
        try:
            await trio.to_thread.run_sync(self._peers.learn, decode_view(answer))
        except CborError as error:
            log.info(f"{url} answers party info with what is none: {error}")
