"""Calls to the node APIs of other managers. They are bounded in time and size, and late calls are cancelled."""

import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpcore
import structlog
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerCall
from lacnode.privacy.service.fingerprints import Fingerprints
from lacnode.privacy.service.peer_connections import PeerConnections
from lacnode.privacy.service.permitted_network import PermittedNetwork
from lacnode.privacy.service.tls import ClientTls

log = structlog.get_logger("privacy")

CONNECT_SECONDS, ANSWER_SECONDS = 1.5, 4.0
"""The time limits: for a connection, as in Orion, and for the whole call. A manager that is there gets more time.

A call to a silent manager still ends before the 5 s that Besu waits for its own manager."""

MIN_BYTES_PER_SECOND_OF_PEER = 1_048_576
"""The slowest accepted rate of a large body. It gives a call more time than the limit above."""

MAX_PEER_ANSWER_BYTES, MAX_PAYLOAD_ANSWER_BYTES = 262_144, 16_777_216
"""The largest answers. The second one is for answers with payloads: one payload may be as large as a pushed body."""

FREE_PIECES, BYTES_PER_PIECE = 256, 256
"""An answer may come in the free pieces, and in one more for this many bytes. To read a piece takes 20 microseconds."""

PIECES_AT_ONCE = 64
"""The pieces that are read before other tasks have a turn."""

MAX_OPEN_CALLS = 32
KEEP_ALIVE_SECONDS = 5.0
"""The time after which an unused connection to a manager is closed."""

DEFAULT_PORTS = {b"http": 80, b"https": 443}
SUCCESSES = (200, 201)
HTTP_ERRORS = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)
"""The errors of a call that the other side causes."""

CBOR_HEADERS = (("content-type", "application/cbor"),)
UNCOMPRESSED = ("accept-encoding", "identity")
"""No compression. A small compressed answer of a stranger could become very large."""


class UntrustedCertificateError(Exception):
    """The certificate of another manager's server is not the known one. The text is the server's `host:port`."""


class _ConnectionWatch:
    """Watches how a connection to a server is made.

    It checks the certificate before anything is sent, if fingerprints are known. It closes a connection that fails in the
    middle of the handshake. httpcore leaves that to the garbage collector.
    """

    def __init__(self, known: Fingerprints | None, name: str) -> None:
        self._known = known
        self._name = name
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            # The stream is kept, because httpcore gives it to no other code when the handshake fails.
            self._stream = details["return_value"]
        elif event == "connection.start_tls.failed" and self._stream is not None:
            await self._stream.aclose()
        elif event == "connection.start_tls.complete" and self._known is not None:
            await self._check_certificate(self._known, details["return_value"])

    async def _check_certificate(self, known: Fingerprints, stream: httpcore.AsyncNetworkStream) -> None:
        connection = stream.get_extra_info("ssl_object")
        certificate = connection.getpeercert(binary_form=True) if connection is not None else None
        is_trusted = False
        try:
            # This may write the file of fingerprints, so it runs in a thread.
            is_trusted = certificate is not None and await trio.to_thread.run_sync(
                known.trusts_or_records, self._name, certificate
            )
        finally:
            # This also runs when the task is cancelled: httpcore does not own the stream yet, and nothing else closes it.
            if not is_trusted:
                await stream.aclose()
        if not is_trusted:
            raise UntrustedCertificateError(self._name)


@dataclass(frozen=True, slots=True)
class _TrustedClient:
    """The connections of one TLS context. They trust what the context trusts, and the fingerprints `known` if there are any.

    It calls httpcore itself. httpx above it took as much time as the rest of a call, and has nothing that managers need.
    """

    connections: PeerConnections
    known: Fingerprints | None = None

    async def send(self, call: PeerCall, max_answer_bytes: int) -> tuple[int, bytes]:
        """Return the status and the body of the answer. The body of an error is not read: it is empty here."""
        url = httpcore.URL(url_with_path(call.url, call.path))
        if url.scheme not in DEFAULT_PORTS:
            raise httpcore.UnsupportedProtocol
        headers = [(b"Host", _host_header(url)), *_encoded_headers((*call.headers, UNCOMPRESSED))]
        if call.method != "GET":
            headers.append((b"Content-Length", str(len(call.body)).encode("ascii")))
        extensions: dict[str, object] = {"timeout": {"connect": CONNECT_SECONDS}}
        if url.scheme == b"https":
            extensions["trace"] = _ConnectionWatch(self.known, f"{url.host.decode()}:{url.port or 443}")
        request = httpcore.Request(call.method, url, headers=headers, content=_Body(call.body), extensions=extensions)
        return await self.connections.send(request, partial(_read, max_bytes=max_answer_bytes))


def _host_header(url: httpcore.URL) -> bytes:
    host = b"[%b]" % url.host if b":" in url.host else url.host
    # The port is left out if it is that of the scheme, as RFC 9110 says. A proxy before a manager may look at it.
    return host if url.port in (None, DEFAULT_PORTS.get(url.scheme)) else b"%b:%d" % (host, url.port)


def _encoded_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]


class _Body:
    """A body in one part. httpcore's own body is a generator, and no code closes it when the connection breaks."""

    def __init__(self, data: bytes) -> None:
        self._parts = [data] if data else []

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


class HttpPeerSender:
    """Calls other managers over HTTP: a `PeerSender` and `PeerCaller` for threads. Its event loop runs in `run`.
    `post_all` is for tasks of that loop. At most `MAX_OPEN_CALLS` calls are open at a time.

    `tls` is for https URLs, None for the system's roots. `policy` says which addresses may be called, None for public
    addresses alone.
    """

    def __init__(self, tls: ClientTls | None = None, policy: AddressPolicy | None = None) -> None:
        self._tls = tls
        self._policy = policy or AddressPolicy()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._clients: Sequence[_TrustedClient] = ()
        self._calls = trio.CapacityLimiter(MAX_OPEN_CALLS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make calls possible until cancelled. Before and after it, each call has no answer."""
        tls = self._tls or ClientTls(ssl.create_default_context(), None, None)
        # Two clients at most: one verifies chains, the other one compares fingerprints. OpenSSL has no context for both.
        contexts = [(tls.by_chain, None), (tls.by_fingerprint, tls.known)]
        async with AsyncExitStack() as stack:
            self._clients = [
                _TrustedClient(_new_connections(context, self._policy), known)
                for context, known in contexts
                if context is not None
            ]
            for client in self._clients:
                stack.push_async_callback(client.connections.aclose)
            async with trio.open_nursery() as self._nursery:
                # Threads use the token to start calls in this loop. Without it they know that no loop runs.
                self._token = trio.lowlevel.current_trio_token()
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    # A thread that comes later gets no answer. It must not start a task in a loop that ends.
                    self._token = self._nursery = None

    def post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        """POST each body (CBOR) to `path` of the manager at its URL, all at the same time, from any thread but that of
        the event loop. Return the answer of every URL. This blocks for the time of the calls and raises no error.
        REFUSED_REPLY stands for a status other than 200 and 201. None stands for no answer, and for a sender that does
        not run."""
        return dict(zip(bodies, self._from_thread(_posts(path, bodies), REFUSED_REPLY), strict=True))

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """Send all requests at the same time, from any thread but that of the event loop. Return the bodies of the
        answers in the order of the calls. This blocks for the time of the calls and raises no error. None stands for no
        answer, for a status other than 200 and 201, and for a sender that does not run."""
        return self._from_thread(calls)

    def _from_thread(self, calls: Sequence[PeerCall], refused: bytes | None = None) -> Sequence[bytes | None]:
        if self._token is None:
            # The service has not started or has ended. For the caller this is a manager that does not answer.
            return [None] * len(calls)
        try:
            return trio.from_thread.run(self._call_for_thread, calls, refused, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            return [None] * len(calls)

    async def _call_for_thread(self, calls: Sequence[PeerCall], refused: bytes | None) -> Sequence[bytes | None]:
        """Make the calls in a task of `run`. So no connection outlives the client that has to close it."""
        answers: Sequence[bytes | None] = [None] * len(calls)
        is_done = trio.Event()

        async def call() -> None:
            nonlocal answers
            try:
                answers = await self._call_all(calls, refused)
            finally:
                # Also after an error. The thread waits for this event without a time limit.
                is_done.set()

        if self._nursery is not None:
            self._nursery.start_soon(call)
            await is_done.wait()
        return answers

    async def post_all(self, path: str, bodies: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """POST each body (CBOR) to `path` of the manager at its URL, all at the same time. Return the answer of every
        URL, None if there was no answer with status 200 or 201 in time. No error is raised."""
        return dict(zip(bodies, await self._call_all(_posts(path, bodies)), strict=True))

    async def _call_all(self, calls: Sequence[PeerCall], refused: bytes | None = None) -> Sequence[bytes | None]:
        answers: list[bytes | None] = [None] * len(calls)

        # The limit is common to all callers. The time of a call begins when it has its turn.
        async def one(number: int, call: PeerCall) -> None:
            async with self._calls:
                answers[number] = await self._answer(call, refused)

        async with trio.open_nursery() as nursery:
            for number, call in enumerate(calls):
                nursery.start_soon(one, number, call)
        return answers

    async def _answer(self, call: PeerCall, refused: bytes | None) -> bytes | None:
        # A small bound for most answers: 32 managers may answer at the same time.
        largest = MAX_PAYLOAD_ANSWER_BYTES if call.gives_payloads else MAX_PEER_ANSWER_BYTES
        with trio.move_on_after(
            # The time grows with the larger of the request and the answer. A payload of 16 MB gets 16 s more.
            ANSWER_SECONDS + max(len(call.body), largest - MAX_PEER_ANSWER_BYTES) / MIN_BYTES_PER_SECOND_OF_PEER
        ):
            try:
                status, body = await self._send_by_trusted_client(call, largest)
                if status in SUCCESSES:
                    return body
                # The body of an error is not read. Only the fact that a manager is there counts.
                log.debug(f"{call.url} answers {status} to {call.path}")
                return refused
            except (UntrustedCertificateError, *HTTP_ERRORS, OSError, ValueError) as error:
                # OSError includes ssl.SSLError. ValueError is a malformed URL, or a host name that cannot be looked up.
                log.debug(f"{call.url} cannot be reached: {type(error).__name__}")
            except Exception:
                # Strangers announce URLs. No error of a call may end the service.
                log.exception(f"the call to {call.url} failed")
        return None

    async def _send_by_trusted_client(self, call: PeerCall, max_answer_bytes: int) -> tuple[int, bytes]:
        """Send a call by the first client that trusts the server's certificate."""
        # A server with a known fingerprint is tried with the fingerprints first, others by their chain. Only a refused
        # certificate leads to the second client: after any other error the call may have arrived already.
        clients = sorted(
            self._clients, key=lambda client: client.known is None or not client.known.has_name(_server_name(call.url))
        )
        for client in clients[:-1]:
            try:
                return await client.send(call, max_answer_bytes)
            except (UntrustedCertificateError, httpcore.ConnectError) as error:
                if not _is_certificate_refusal(error):
                    raise
        return await clients[-1].send(call, max_answer_bytes)


def _posts(path: str, bodies: Mapping[str, bytes]) -> list[PeerCall]:
    return [PeerCall("POST", url, path, body, CBOR_HEADERS, path == RECOVER_PATH) for url, body in bodies.items()]


def _new_connections(context: ssl.SSLContext, policy: AddressPolicy) -> PeerConnections:
    network = PermittedNetwork(policy)
    return PeerConnections(context, network, max_open=MAX_OPEN_CALLS, keep_alive_seconds=KEEP_ALIVE_SECONDS)


def _server_name(url: str) -> str:
    """Return the name of the server at `url` in the list of fingerprints: `host:port`."""
    parts = urlsplit(url)
    # Orion's format of the list.
    return f"{parts.hostname}:{parts.port or 443}"


def _is_certificate_refusal(error: BaseException | None) -> bool:
    """Return True if a connection was given up because of the certificate."""
    # httpcore wraps the error. The original one is in the chain of causes.
    while error is not None:
        if isinstance(error, UntrustedCertificateError | ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def _read(response: httpcore.Response, max_bytes: int) -> tuple[int, bytes]:
    """Return the status and the body, empty for an error. httpcore.NetworkError or httpcore.ProtocolError if the body is
    longer than `max_bytes` bytes, or comes in too many pieces."""
    if response.status not in SUCCESSES:
        return response.status, b""
    answer, pieces, stream = bytearray(), 0, response.extensions["network_stream"]
    async for part in response.aiter_stream():
        answer += part
        pieces += 1
        stream.count_content(len(part))
        if len(answer) > max_bytes or pieces > FREE_PIECES + len(answer) // BYTES_PER_PIECE:
            # The next read then fails, which ends httpcore's generators. A return would leave them open.
            await response.aclose()
        # Chunks that are here already are read without a pause. Other tasks of the node must get their turn.
        elif pieces % PIECES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return response.status, bytes(answer)


def url_with_path(url: str, path: str) -> str:
    """Return `path` at the scheme, host and port of `url`. The path of `url`, a user name and a password are left out."""
    parts = urlsplit(url)
    # A name and a password in the URL are left out. No manager asks for them.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
