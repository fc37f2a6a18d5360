"""Calls to other managers' node APIs: bounded in time and size, cancelled when they are late."""

import ssl
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
import trio

from lacnode.privacy.peer_sender import PeerCall
from lacnode.privacy.service.tls import Fingerprints

log = structlog.get_logger("privacy")

TIMEOUT = 1.5
MAX_ANSWER = 4_194_304
MAX_CALLS = 32
CBOR = (("content-type", "application/cbor"),)
UNCOMPRESSED = ("accept-encoding", "identity")
"""What a stranger says is as long as it is."""


class Untrusted(Exception):
    """A server's certificate is not the one that is known for it."""


class _Check:
    """Looks at the certificate of a connection to `url` when it is made, before anything is sent on it."""

    def __init__(self, pinned: Fingerprints, url: str) -> None:
        parts = urlsplit(url)
        self._pinned = pinned
        self._name = f"{parts.hostname}:{parts.port or 443}"

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        if event != "connection.start_tls.complete":
            return
        stream = details["return_value"]
        connection = stream.get_extra_info("ssl_object")
        certificate = connection.getpeercert(binary_form=True) if connection is not None else None
        if certificate is None or not await trio.to_thread.run_sync(self._pinned.trusts, self._name, certificate):
            await stream.aclose()
            raise Untrusted(self._name)


class _Body(httpx.AsyncByteStream):
    """A body in one part. httpx's own is a generator, which nobody closes when the connection breaks in the middle."""

    def __init__(self, data: bytes) -> None:
        self._parts = [data]

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


class HttpPeerSender:
    """PeerSender for threads, over an event loop that must run elsewhere; `post_all` is for that loop itself."""

    def __init__(self, tls: ssl.SSLContext | None = None, pinned: Fingerprints | None = None) -> None:
        self._tls = tls
        self._pinned = pinned
        self._token: trio.lowlevel.TrioToken | None = None
        self._client: httpx.AsyncClient | None = None
        self._calls = trio.CapacityLimiter(MAX_CALLS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be able to call until cancelled."""
        limits = httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=MAX_CALLS)
        verify = self._tls if self._tls is not None else True
        async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits, verify=verify, trust_env=False) as client:
            self._client, self._token = client, trio.lowlevel.current_trio_token()
            task_status.started()
            await trio.sleep_forever()

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """See PeerSender; from any thread but the loop's."""
        return dict(zip(bodies, self.call(_posts(path, bodies)), strict=True))

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """See PeerCaller; from any thread but the loop's."""
        if self._token is None:
            return [None] * len(calls)
        try:
            return trio.from_thread.run(self._call_all, calls, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            return [None] * len(calls)

    async def post_all(self, path: str, bodies: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """The answers of all, None for each that did not answer in time."""
        return dict(zip(bodies, await self._call_all(_posts(path, bodies)), strict=True))

    async def _call_all(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        answers: list[bytes | None] = [None] * len(calls)

        async def one(number: int, call: PeerCall) -> None:
            async with self._calls:
                answers[number] = await self._answer(call)

        async with trio.open_nursery() as nursery:
            for number, call in enumerate(calls):
                nursery.start_soon(one, number, call)
        return answers

    async def _answer(self, call: PeerCall) -> bytes | None:
        if self._client is None:
            return None
        url = endpoint(call.url, call.path)
        with trio.move_on_after(TIMEOUT):
            try:
                checks = {} if self._pinned is None else {"trace": _Check(self._pinned, url)}
                headers = [*call.headers, UNCOMPRESSED]
                request = self._client.build_request(
                    call.method, url, content=call.body or None, headers=headers, extensions=checks
                )
                request.stream = _Body(call.body)
                async with aclosing(await self._client.send(request, stream=True)) as response:
                    if response.status_code not in (200, 201):
                        log.debug(f"{url} answers {response.status_code}")
                        return None
                    answer = bytearray()
                    async for part in response.aiter_raw():
                        answer += part
                        if len(answer) > MAX_ANSWER:
                            return None
                    return bytes(answer)
            except (Untrusted, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError) as error:
                log.debug(f"{url} cannot be reached: {type(error).__name__}")
        return None


def _posts(path: str, bodies: Mapping[str, bytes]) -> list[PeerCall]:
    return [PeerCall("POST", url, path, body, CBOR) for url, body in bodies.items()]


def endpoint(url: str, path: str) -> str:
    """`path` at the host and port of `url`; whatever path that has does not count."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{path}"
