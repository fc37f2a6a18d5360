"""Calls to other managers' node APIs: bounded in time and size, cancelled when they are late."""

import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import structlog
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH
from lacnode.privacy.manager.peer_sender import REFUSED, PeerCall
from lacnode.privacy.service.fingerprints import Fingerprints
from lacnode.privacy.service.permitted_network import PermittedTransport
from lacnode.privacy.service.tls import ClientTls

log = structlog.get_logger("privacy")

CONNECT_SECONDS, ANSWER_SECONDS = 1.5, 4.0
"""For a connection, as Orion has it, and for the whole call: who is there is given longer. One that is there and silent
still leaves a node that waits for its manager Besu's 5 s."""

MIN_BYTES_PER_SECOND_OF_PEER = 1_048_576
"""Bytes a second: how long a large body may take beyond that."""

MAX_PEER_ANSWER_BYTES, MAX_PAYLOAD_ANSWER_BYTES = 262_144, 16_777_216
"""Bytes; the second where the answer holds payloads, of which one may be as large as a body that is pushed."""

MAX_OPEN_CALLS = 32
CBOR_HEADERS = (("content-type", "application/cbor"),)
UNCOMPRESSED = ("accept-encoding", "identity")
"""What a stranger says is as long as it is."""


class UntrustedCertificateError(Exception):
    """A server's certificate is not the one that is known for it."""


class _Watch:
    """Sees a connection to a server being made: looks at its certificate before anything is sent on it, if there are
    fingerprints, and closes it where it is given up in the middle, which httpcore leaves to the collector."""

    def __init__(self, known: Fingerprints | None, name: str) -> None:
        self._known = known
        self._name = name
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = details["return_value"]
        elif event == "connection.start_tls.failed" and self._stream is not None:
            await self._stream.aclose()
        elif event == "connection.start_tls.complete" and self._known is not None:
            await self._look(self._known, details["return_value"])

    async def _look(self, known: Fingerprints, stream: httpcore.AsyncNetworkStream) -> None:
        connection = stream.get_extra_info("ssl_object")
        certificate = connection.getpeercert(binary_form=True) if connection is not None else None
        is_trusted = False
        try:
            is_trusted = certificate is not None and await trio.to_thread.run_sync(
                known.trusts, self._name, certificate
            )
        finally:
            # Here too when cancelled: httpcore has not taken the stream yet.
            if not is_trusted:
                await stream.aclose()
        if not is_trusted:
            raise UntrustedCertificateError(self._name)


@dataclass(frozen=True, slots=True)
class _TrustedClient:
    """Connections that trust whom one context trusts, and `known` where there are fingerprints."""

    client: httpx.AsyncClient
    known: Fingerprints | None = None

    async def send(self, call: PeerCall) -> httpx.Response:
        url, headers = endpoint(call.url, call.path), [*call.headers, UNCOMPRESSED]
        watch = {"trace": _Watch(self.known, _server(url))} if url.startswith("https:") else {}
        request = self.client.build_request(
            call.method, url, content=call.body or None, headers=headers, extensions=watch
        )
        request.stream = _Body(call.body)
        return await self.client.send(request, stream=True)


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
    """PeerSender for threads, over an event loop that must run elsewhere; `post_all` is for that loop itself. `policy`
    says which addresses may be called; public ones if None."""

    def __init__(self, tls: ClientTls | None = None, policy: AddressPolicy | None = None) -> None:
        self._tls = tls
        self._policy = policy or AddressPolicy()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._ways: Sequence[_TrustedClient] = ()
        self._calls = trio.CapacityLimiter(MAX_OPEN_CALLS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be able to call until cancelled."""
        tls = self._tls or ClientTls(ssl.create_default_context(), None, None)
        contexts = [(tls.by_chain, None), (tls.by_fingerprint, tls.known)]
        async with AsyncExitStack() as stack:
            self._ways = [
                _TrustedClient(await stack.enter_async_context(_client(context, self._policy)), known)
                for context, known in contexts
                if context is not None
            ]
            async with trio.open_nursery() as self._nursery:
                self._token = trio.lowlevel.current_trio_token()
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    self._token = self._nursery = None

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """See PeerSender; from any thread but the loop's."""
        return dict(zip(bodies, self._from_thread(_posts(path, bodies), REFUSED), strict=True))

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """See PeerCaller; from any thread but the loop's."""
        return self._from_thread(calls)

    def _from_thread(self, calls: Sequence[PeerCall], refused: bytes | None = None) -> Sequence[bytes | None]:
        if self._token is None:
            return [None] * len(calls)
        try:
            return trio.from_thread.run(self._call_for_thread, calls, refused, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            return [None] * len(calls)

    async def _call_for_thread(self, calls: Sequence[PeerCall], refused: bytes | None) -> Sequence[bytes | None]:
        """As a task of `run`, so that no connection outlives the client that would close it."""
        answers: Sequence[bytes | None] = [None] * len(calls)
        is_done = trio.Event()

        async def call() -> None:
            nonlocal answers
            try:
                answers = await self._call_all(calls, refused)
            finally:
                is_done.set()

        if self._nursery is not None:
            self._nursery.start_soon(call)
            await is_done.wait()
        return answers

    async def post_all(self, path: str, bodies: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """The answers of all, None for each that did not answer 200 or 201 in time."""
        return dict(zip(bodies, await self._call_all(_posts(path, bodies)), strict=True))

    async def _call_all(self, calls: Sequence[PeerCall], refused: bytes | None = None) -> Sequence[bytes | None]:
        answers: list[bytes | None] = [None] * len(calls)

        async def one(number: int, call: PeerCall) -> None:
            async with self._calls:
                answers[number] = await self._answer(call, refused)

        async with trio.open_nursery() as nursery:
            for number, call in enumerate(calls):
                nursery.start_soon(one, number, call)
        return answers

    async def _answer(self, call: PeerCall, refused: bytes | None) -> bytes | None:
        largest = MAX_PAYLOAD_ANSWER_BYTES if call.gives_payloads else MAX_PEER_ANSWER_BYTES
        with trio.move_on_after(
            ANSWER_SECONDS + max(len(call.body), largest - MAX_PEER_ANSWER_BYTES) / MIN_BYTES_PER_SECOND_OF_PEER
        ):
            try:
                async with aclosing(await self._sent(call)) as response:
                    if response.status_code not in (200, 201):
                        log.debug(f"{call.url} answers {response.status_code} to {call.path}")
                        return refused
                    return await _read(response, largest)
            except (
                UntrustedCertificateError,
                httpx.HTTPError,
                httpx.InvalidURL,
                httpx.StreamError,
                OSError,
                ValueError,
            ) as error:
                # An OSError: ssl.SSLError, too. A ValueError: a host that cannot even be looked up.
                log.debug(f"{call.url} cannot be reached: {type(error).__name__}")
            except Exception:
                # Strangers announce the URLs: what one of them leads to must not end the service.
                log.exception(f"the call to {call.url} failed")
        return None

    async def _sent(self, call: PeerCall) -> httpx.Response:
        """Sent to whom one way trusts; a certificate that one does not trust is shown to the next."""
        ways = sorted(self._ways, key=lambda way: way.known is None or not way.known.knows(_server(call.url)))
        for way in ways[:-1]:
            try:
                return await way.send(call)
            except (UntrustedCertificateError, httpx.ConnectError) as error:
                if not _is_distrust(error):
                    raise
        return await ways[-1].send(call)


def _posts(path: str, bodies: Mapping[str, bytes]) -> list[PeerCall]:
    return [PeerCall("POST", url, path, body, CBOR_HEADERS, path == RECOVER_PATH) for url, body in bodies.items()]


def _client(context: ssl.SSLContext, policy: AddressPolicy) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=MAX_OPEN_CALLS, max_keepalive_connections=MAX_OPEN_CALLS)
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    return httpx.AsyncClient(timeout=timeout, transport=PermittedTransport(context, limits, policy), trust_env=False)


def _server(url: str) -> str:
    """What the server at `url` is called among fingerprints."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 443}"


def _is_distrust(error: BaseException | None) -> bool:
    """Whether a connection was given up for its certificate."""
    while error is not None:
        if isinstance(error, UntrustedCertificateError | ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def _read(response: httpx.Response, largest: int) -> bytes:
    """The body. One longer than `largest` is broken off by closing what it comes from: httpx.HTTPError."""
    answer = bytearray()
    async for part in response.aiter_raw():
        answer += part
        if len(answer) > largest:
            # The next read fails, which ends httpx's generators; left by a return they would be nobody's.
            await response.aclose()
    return bytes(answer)


def endpoint(url: str, path: str) -> str:
    """`path` at the host and port of `url`; whatever path that has does not count."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{path}"
