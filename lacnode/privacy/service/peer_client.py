"""Calls to the node APIs of other managers. They are bounded in time and size, and late calls are cancelled."""

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

import structlog
import trio

from lacnode.privacy.manager.address_policy import AddressPolicy
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerCall
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH
from lacnode.privacy.service.peer_connections import PeerConnections, UntrustedCertificateError
from lacnode.privacy.service.peer_exchange import SUCCESSES, AnswerError, PeerAnswer, parse_origin
from lacnode.privacy.service.permitted_network import PermittedNetwork
from lacnode.privacy.service.tls import ClientTls
from lacnode.rate_limited_log import RateLimitedLog

log = structlog.get_logger("privacy")

ANSWER_SECONDS = 4.0
"""The time limit for the whole call. A call to a silent manager ends before the 5 s that Besu waits for its own manager."""

MIN_BYTES_PER_SECOND_OF_PEER = 1_048_576
"""The slowest accepted rate of a large body. It gives a call more time than the limit above."""

MAX_PEER_ANSWER_BYTES, MAX_PAYLOAD_ANSWER_BYTES = 262_144, 16_777_216
"""The largest answers. The second one is for answers with payloads: one payload may be as large as a pushed body."""

MAX_OPEN_CALLS, MAX_OTHER_OPEN_CALLS = 32, 24
"""The largest numbers of open calls: of all calls, and of those that are not for deliveries. Slow managers cannot occupy the
places between the two numbers, which are left for deliveries."""

DELIVERY_PATHS = frozenset((PUSH_PATH, PUSH_WITH_BOXES_PATH, PUSH_GROUP_PATH, PUSH_PROVEN_GROUP_PATH, PROVE_PATH))
"""The paths of calls that deliver a payload or a group, and of the proofs of keys that come before a delivery."""

KEEP_ALIVE_SECONDS = 5.0
"""The time after which an unused connection to a manager is closed."""

CALL_ERRORS = (UntrustedCertificateError, AnswerError, trio.BrokenResourceError, OSError, ValueError)
"""The errors of a call that the other side causes. OSError includes `ssl.SSLError`. ValueError is a malformed URL, or a host
name that cannot be looked up."""

CBOR_HEADERS = (("content-type", "application/cbor"),)


class HttpPeerSender:
    """Calls other managers over HTTP: a `PeerSender` and `PeerCaller` for threads. Its event loop runs in `run`.
    `post_in_event_loop` is for tasks of that loop. At most `MAX_OPEN_CALLS` calls are open at a time, and at most
    `MAX_OTHER_OPEN_CALLS` of them are for another path than one of `DELIVERY_PATHS`.

    `tls` is for https URLs, None for the system's roots. `policy` says which addresses may be called, None for public
    addresses alone. `on_answer` is called in the event loop with the URL of each manager that answers with status 200 or
    201, and with its address (as `client_address` returns it).
    """

    def __init__(
        self,
        tls: ClientTls | None = None,
        policy: AddressPolicy | None = None,
        on_answer: Callable[[str, str], None] = lambda url, address: None,
    ) -> None:
        self._tls = tls
        self._on_answer = on_answer
        self._policy = policy or AddressPolicy()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._clients: Sequence[PeerConnections] = ()
        self._calls = trio.CapacityLimiter(MAX_OPEN_CALLS)
        self._other_calls = trio.CapacityLimiter(MAX_OTHER_OPEN_CALLS)
        self._log = RateLimitedLog("privacy", time.monotonic)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make calls possible until cancelled. Before and after it, each call has no answer."""
        tls = self._tls or ClientTls(ssl.create_default_context(), None, None)
        # Two clients at most: one verifies chains, the other one compares fingerprints. OpenSSL has no context for both.
        contexts = [(tls.by_chain, None), (tls.by_fingerprint, tls.known)]
        # One network for both: its bound of look-ups counts them together.
        network = PermittedNetwork(self._policy)
        async with AsyncExitStack() as stack:
            self._clients = [
                PeerConnections(
                    context,
                    network,
                    known,
                    max_open=MAX_OPEN_CALLS,
                    keep_alive_seconds=KEEP_ALIVE_SECONDS,
                )
                for context, known in contexts
                if context is not None
            ]
            for client in self._clients:
                stack.push_async_callback(client.close_unused)
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
        """POST each body (CBOR) to `path` of the manager at its URL, from any thread but that of the event loop. At
        most `MAX_OPEN_CALLS` are sent at the same time, the others when a call ends. Return the answer of every URL.
        This blocks for the time of the calls and raises no error. REFUSED_REPLY stands for a status other than 200 and
        201. None stands for no answer that can be used, and for a sender that does not run."""
        return dict(zip(bodies, self._from_thread(_posts(path, bodies), REFUSED_REPLY), strict=True))

    def call(self, calls: Sequence[PeerCall]) -> Sequence[bytes | None]:
        """Send the requests, from any thread but that of the event loop. At most `MAX_OPEN_CALLS` are sent at the same
        time, the others when a call ends. Return the bodies of the answers in the order of the calls. This blocks for
        the time of the calls and raises no error. None stands for no answer that can be used, for a status other than
        200 and 201, and for a sender that does not run."""
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

    async def post_in_event_loop(self, path: str, bodies: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """POST each body (CBOR) to `path` of the manager at its URL, from a task of the event loop. At most
        `MAX_OPEN_CALLS` are sent at the same time, the others when a call ends. Return the answer of every URL, None if
        there was no answer with status 200 or 201 in time. No error is raised."""
        return dict(zip(bodies, await self._call_all(_posts(path, bodies)), strict=True))

    async def _call_all(self, calls: Sequence[PeerCall], refused: bytes | None = None) -> Sequence[bytes | None]:
        if len(calls) == 1:
            return [await self._answer_in_turn(calls[0], refused)]
        answers: list[bytes | None] = [None] * len(calls)

        async def one(number: int, call: PeerCall) -> None:
            answers[number] = await self._answer_in_turn(call, refused)

        async with trio.open_nursery() as nursery:
            for number, call in enumerate(calls):
                nursery.start_soon(one, number, call)
        return answers

    async def _answer_in_turn(self, call: PeerCall, refused: bytes | None) -> bytes | None:
        # The limits are common to all callers. The time of a call begins when it has its turn.
        async with self._turn_beside_deliveries(call), self._calls:
            return await self._answer(call, refused)

    def _turn_beside_deliveries(self, call: PeerCall) -> AbstractAsyncContextManager[object]:
        return nullcontext() if call.path in DELIVERY_PATHS else self._other_calls

    async def _answer(self, call: PeerCall, refused: bytes | None) -> bytes | None:
        # A small bound for most answers: 32 managers may answer at the same time.
        largest = MAX_PAYLOAD_ANSWER_BYTES if call.gives_payloads else MAX_PEER_ANSWER_BYTES
        with trio.move_on_after(
            # The time grows with the larger of the request and the answer. A payload of 16 MB gets 16 s more.
            ANSWER_SECONDS + max(len(call.body), largest - MAX_PEER_ANSWER_BYTES) / MIN_BYTES_PER_SECOND_OF_PEER
        ):
            try:
                answer = await self._send_by_trusted_client(call, largest)
                if answer.status in SUCCESSES:
                    self._on_answer(call.url, answer.address)
                    return answer.body
                # The body of an error is not read. Only the fact that a manager is there counts.
                log.debug(f"{call.url} answers {answer.status} to {call.path}")
                return refused
            except CALL_ERRORS as error:
                log.debug(f"{call.url} cannot be reached: {type(error).__name__}")
            except Exception as error:
                # Strangers announce URLs. No error of a call may end the service.
                self._log.exception(type(error).__name__, f"the call to {call.url} failed")
        return None

    async def _send_by_trusted_client(self, call: PeerCall, max_answer_bytes: int) -> PeerAnswer:
        """Send a call by the first client that trusts the server's certificate."""
        # A server with a known fingerprint is tried with the fingerprints first, others by their chain. Only a refused
        # certificate leads to the second client: after any other error the call may have arrived already.
        clients = self._clients
        if len(clients) > 1:
            name = parse_origin(call.url).name
            clients = sorted(clients, key=lambda client: client.known is None or not client.known.has_name(name))
        for client in clients[:-1]:
            try:
                return await client.send(call, max_answer_bytes)
            except (UntrustedCertificateError, OSError, trio.BrokenResourceError) as error:
                if not _is_certificate_refusal(error):
                    raise
        return await clients[-1].send(call, max_answer_bytes)


def _posts(path: str, bodies: Mapping[str, bytes]) -> list[PeerCall]:
    return [PeerCall("POST", url, path, body, CBOR_HEADERS, path == RECOVER_PATH) for url, body in bodies.items()]


def _is_certificate_refusal(error: BaseException | None) -> bool:
    """Return True if a connection was given up because of the certificate."""
    # trio wraps the error of the handshake. The original one is in the chain of causes.
    while error is not None:
        if isinstance(error, UntrustedCertificateError | ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
