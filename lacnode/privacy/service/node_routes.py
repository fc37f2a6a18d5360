"""The node API: the answers to other managers, by path.

It has Orion's paths, lacnode's paths for recovery, proofs of keys and state roots, and Tessera's paths. Orion's and
lacnode's requests are CBOR, Tessera's are octets. So one port serves all of them. Every request comes from a stranger.
"""

import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from lacnode.http.http_messages import BUSY, Request, Response
from lacnode.privacy.manager.key_proof_exchange import PROVE_PATH, ProofResponder
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import MAX_PARTY_INFO_BYTES
from lacnode.privacy.manager.payload_recovery import RECOVER_PATH, RecoveryResponder
from lacnode.privacy.manager.peer_paths import PARTY_INFO_PATH, PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH
from lacnode.privacy.manager.proven_requests import CHALLENGE_PATH, RequestAuthenticator
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH
from lacnode.privacy.manager.state_root_exchange import ROOTS_PATH, StateRootResponder
from lacnode.privacy.manager.tessera.tessera_nodes import OCTETS_HEADER, VALIDATE_PATH
from lacnode.privacy.manager.tessera.tessera_peer_api import TesseraPeerApi
from lacnode.privacy.service.address_shares import AddressShares
from lacnode.privacy.service.error_responses import error_response, store_failure_response
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError

MAX_PAYLOAD_REQUEST_BYTES = 16_777_216
MAX_GROUP_REQUEST_BYTES = 262_144
MAX_SMALL_REQUEST_BYTES = 16_384
"""The largest requests: for a payload, for a group, and for a question with a bounded form."""

_LARGEST = {
    PUSH_PATH: MAX_PAYLOAD_REQUEST_BYTES,
    PUSH_WITH_BOXES_PATH: MAX_PAYLOAD_REQUEST_BYTES,
    PUSH_GROUP_PATH: MAX_GROUP_REQUEST_BYTES,
    PUSH_PROVEN_GROUP_PATH: MAX_GROUP_REQUEST_BYTES,
    PARTY_INFO_PATH: MAX_PARTY_INFO_BYTES,
}

LARGE_REQUEST_BYTES = 2**20
"""Length from which requests are computed one at a time. A request takes about four times its length meanwhile."""

REQUEST_SECONDS, REFUSED_HEAD_SECONDS = 0.0001, 0.0005
"""The time of the event loop that counts for each request, and for a refused head, after which the connection ends."""

CONNECTION_SECONDS, TLS_CONNECTION_SECONDS = 0.0005, 0.003
"""The estimated processor time that counts for each new connection, and for one with TLS."""

MAX_WAIT_SECONDS = 10.0
"""How long a request may wait for the share of its address and for a thread."""

MAX_CONNECTION_WAIT_SECONDS = 2.0
"""How long a new connection may wait for the share of its address. One address that opens many at once thus owes less than
all addresses together may save up: the others do not wait for it."""

TEXT = ("content-type", "text/plain")
CBOR = ("content-type", "application/cbor")

Call = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class RespondersBeyondOrion:
    """The objects that answer requests outside of Orion's node API. `tessera` is None if no Tessera is configured."""

    proofs: ProofResponder
    challenges: RequestAuthenticator
    recovery: RecoveryResponder
    roots: StateRootResponder
    tessera: TesseraPeerApi | None = None


class NodeRoutes:
    """The request handler of the node API. Worker threads, bounded by `limiter`, compute the answers. Each address has
    one of `shares` of the processor."""

    def __init__(
        self,
        manager: LocalTransactionManager,
        responders: RespondersBeyondOrion,
        limiter: trio.CapacityLimiter,
        shares: AddressShares,
    ) -> None:
        self._limiter, self._large_limiter = limiter, trio.CapacityLimiter(1)
        # A request has its place in `limiter` before it is given to a thread.
        self._no_limiter = trio.CapacityLimiter(math.inf)
        # Opening boxes is the expensive part. One address with many requests could use all threads.
        self._shares = shares
        # A payload may be long. Its body is taken, so that the intake can free it once it is decoded.
        # The first three paths are Orion's. The others are lacnode's: an Orion answers 404 to them.
        posts: dict[str, Call] = {
            PUSH_PATH: lambda request: _text(manager.intake.receive_push(request.take_body())),
            PUSH_GROUP_PATH: lambda request: _text(manager.groups.receive_announcement(request.body)),
            PARTY_INFO_PATH: lambda request: _cbor(manager.exchange_party_info(request.body, request.client)),
            PUSH_PROVEN_GROUP_PATH: lambda request: _text(manager.groups.receive_announcement_with_proof(request.body)),
            PUSH_WITH_BOXES_PATH: lambda request: _text(manager.intake.receive_push_with_boxes(request.take_body())),
            PROVE_PATH: lambda request: _cbor(responders.proofs.prove(request.body)),
            CHALLENGE_PATH: lambda request: _cbor(responders.challenges.issue_challenge(request.body)),
            RECOVER_PATH: lambda request: _cbor(responders.recovery.answer_request(request.body)),
            ROOTS_PATH: lambda request: _cbor(responders.roots.answer(request.body)),
        }
        self._posts = {(path, CBOR[1]): answer for path, answer in posts.items()}
        if responders.tessera is not None:
            self._posts |= {
                (path, OCTETS_HEADER[1]): answer for path, answer in _tessera_posts(responders.tessera).items()
            }

    def answer_head(self, head: Request) -> Response | None:
        """Return the refusal (status 404) of an unknown method, path or content type before the body is read. None if
        it is known."""
        if head.method == "GET" and head.target == "/upcheck":
            return None
        if head.method == "POST" and _route(head) in self._posts:
            return None
        self._shares.spend(head.client, REFUSED_HEAD_SECONDS)
        # A refused head closes the connection. Its body is never read, however long it claims to be.
        return Response(404, close=True)

    async def admits_connection(self, client: str, *, is_tls: bool) -> bool:
        """Count a new connection of the address `client`, and wait until the address has a share of the processor left.
        Return False if that takes longer than `MAX_CONNECTION_WAIT_SECONDS`: the connection is to be closed then."""
        # What is closed at once does not count. A flood would otherwise lock out the other managers that share the address
        # for longer than it lasts.
        if self._shares.wait_seconds(client) > MAX_CONNECTION_WAIT_SECONDS:
            return False
        self._shares.spend(client, TLS_CONNECTION_SECONDS if is_tls else CONNECTION_SECONDS)
        return await self._wait_for_share(client, MAX_CONNECTION_WAIT_SECONDS)

    def largest_body(self, head: Request) -> int:
        """Return the largest allowed size of the body of this request in bytes, by its path."""
        return _LARGEST.get(head.target, MAX_SMALL_REQUEST_BYTES)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request that `answer_head` has allowed. A worker thread computes it when the address
        has a share of the processor left and a thread is free. If that would take longer than `MAX_WAIT_SECONDS`, or if
        the port drops the request meanwhile, the response is `BUSY`. Errors of the manager become responses with
        Orion's error code."""
        async with AsyncExitStack() as turn:
            has_turn = await self._wait_for_turn(request, turn)
            # Reading and answering takes time of the event loop, which counts too, also for a refusal. Otherwise a flood
            # of the cheapest requests would take a whole processor.
            self._shares.spend(request.client, REQUEST_SECONDS)
            if not has_turn:
                return BUSY
            if request.method == "GET":
                return _text("I'm up!")
            answer = self._posts[_route(request)]
            response, seconds = await trio.to_thread.run_sync(
                _answer_counted, answer, request, limiter=self._no_limiter
            )
            # The time counts for the address, also if the request is refused or its answer fails.
            self._shares.spend(request.client, seconds)
        if isinstance(response, Exception):
            raise response
        return response

    async def _wait_for_turn(self, request: Request, turn: AsyncExitStack) -> bool:
        """Wait until the address has a share left and a thread is free, which `turn` then holds. Return False if that
        takes longer than `MAX_WAIT_SECONDS`, or if the port drops the request meanwhile."""
        # The port may drop what waits here. Whole requests of one address would otherwise fill the port for seconds, and
        # the requests of others, which still arrive, would be the only ones that could be dropped.
        with trio.move_on_after(MAX_WAIT_SECONDS), request.waiting_for_turn():
            # An address that has used its share waits without a thread. Its requests cannot delay other addresses.
            while await self._wait_for_share(request.client, MAX_WAIT_SECONDS):
                if request.method == "GET":
                    return True
                # Before the thread: large requests that wait for each other must leave the other threads to small ones.
                if len(request.body) > LARGE_REQUEST_BYTES:
                    await turn.enter_async_context(self._large_limiter)
                await turn.enter_async_context(self._limiter)
                # Requests that had found a share left have used it up meanwhile, perhaps. What they take is known only
                # now. Without this look, all requests that come together would be computed.
                if self._shares.wait_seconds(request.client) == 0.0:
                    return True
                await turn.aclose()
        return False

    async def _wait_for_share(self, client: str, seconds: float) -> bool:
        end = trio.current_time() + seconds
        while (wait := self._shares.wait_seconds(client)) > 0.0:
            if trio.current_time() + wait > end:
                return False
            await trio.sleep(wait)
        return True


def _answer_counted(answer: Call, request: Request) -> tuple[Response | Exception, float]:
    """Answer in a worker thread. Return the response, or an unexpected error, and the seconds of the processor that it
    took."""
    # `thread_time` is the time of the processor alone. Waiting for the disk or for a lock does not count.
    begin = time.thread_time()
    try:
        response: Response | Exception = answer(request)
    except EnclaveError as error:
        # The codes of Orion's node API. Another manager reads them as refused, not as silent.
        response = error_response(error, 404)
    except EnclaveUnreachableError:
        response = store_failure_response()
    except Exception as error:
        response = error
    return response, time.thread_time() - begin


def _route(request: Request) -> tuple[str, str]:
    # Orion and Tessera have the same paths. The content type tells them apart.
    return request.target, request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _tessera_posts(tessera: TesseraPeerApi) -> dict[str, Call]:
    def receive_group(request: Request) -> Response:
        tessera.receive_group(request.body)
        return Response(200)

    return {
        PUSH_PATH: lambda request: Response(201, tessera.receive_push(request.take_body()).encode(), (TEXT,)),
        PUSH_GROUP_PATH: receive_group,
        PARTY_INFO_PATH: lambda request: Response(200, tessera.answer_party_info(request.body), (OCTETS_HEADER,)),
        VALIDATE_PATH: lambda request: Response(200, tessera.answer_challenge(request.body), (TEXT,)),
    }


def _text(value: str) -> Response:
    return Response(200, value.encode(), (TEXT,))


def _cbor(value: bytes) -> Response:
    return Response(200, value, (CBOR,))
