"""Orion's node API, ours for payloads that are lost or may be, for proofs of keys and for state roots, and Tessera's: what
each path answers to other managers. Orion's and ours come as CBOR, Tessera's as octets, so that one port has all. All of
it is strangers'.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from lacnode.fair_share import FairShare, Shares
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
from lacnode.privacy.service.error_responses import error_response, unreachable_response
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError

MAX_PAYLOAD_REQUEST_BYTES = 16_777_216
MAX_GROUP_REQUEST_BYTES = 262_144
MAX_SMALL_REQUEST_BYTES = 16_384
"""Bytes of a request: for a payload, for a group, and for a question that has a bounded length by itself."""

_LARGEST = {
    PUSH_PATH: MAX_PAYLOAD_REQUEST_BYTES,
    PUSH_WITH_BOXES_PATH: MAX_PAYLOAD_REQUEST_BYTES,
    PUSH_GROUP_PATH: MAX_GROUP_REQUEST_BYTES,
    PUSH_PROVEN_GROUP_PATH: MAX_GROUP_REQUEST_BYTES,
    PARTY_INFO_PATH: MAX_PARTY_INFO_BYTES,
}

PEERS_SHARE, ADDRESS_SHARE, MIN_ADDRESS_SHARE = 0.4, 0.25, 0.05
"""Of one processor, for the requests of all peers, of one address, and of one address while all want too much."""

BURST_SECONDS = 5.0
"""How long an address may save up its share."""

MAX_WAIT_SECONDS = 10.0
"""How long a request may wait for its address's share."""

TEXT = ("content-type", "text/plain")
CBOR = ("content-type", "application/cbor")

Call = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class PeerResponders:
    """Who answers what Orion's node API has no word for; Tesseras are answered where there is a desk for them."""

    proofs: ProofResponder
    challenges: RequestAuthenticator
    recovery: RecoveryResponder
    roots: StateRootResponder
    tessera: TesseraPeerApi | None = None


class NodeRoutes:
    """Answers in worker threads of `limiter`, each address within its share of the processor."""

    def __init__(self, manager: LocalTransactionManager, desks: PeerResponders, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._share = FairShare(Shares(PEERS_SHARE, ADDRESS_SHARE, MIN_ADDRESS_SHARE, BURST_SECONDS))
        posts: dict[str, Call] = {
            PUSH_PATH: lambda request: _text(manager.pushed(request.body)),
            PUSH_GROUP_PATH: lambda request: _text(manager.receive_group(request.body)),
            PARTY_INFO_PATH: lambda request: _cbor(manager.exchange_party_info(request.body, request.client)),
            PUSH_PROVEN_GROUP_PATH: lambda request: _text(manager.receive_proven_group(request.body)),
            PUSH_WITH_BOXES_PATH: lambda request: _text(manager.receive_push_with_boxes(request.body)),
            PROVE_PATH: lambda request: _cbor(desks.proofs.prove(request.body)),
            CHALLENGE_PATH: lambda request: _cbor(desks.challenges.give(request.body)),
            RECOVER_PATH: lambda request: _cbor(desks.recovery.recover(request.body)),
            ROOTS_PATH: lambda request: _cbor(desks.roots.answer(request.body)),
        }
        self._posts = {(path, CBOR[1]): answer for path, answer in posts.items()}
        if desks.tessera is not None:
            self._posts |= {(path, OCTETS_HEADER[1]): answer for path, answer in _tessera_posts(desks.tessera).items()}

    def answer_head(self, head: Request) -> Response | None:
        """Refuse unknown paths before anything is read."""
        if head.method == "GET" and head.target == "/upcheck":
            return None
        known = head.method == "POST" and _kind(head) in self._posts
        return None if known else Response(404, close=True)

    def largest_body(self, head: Request) -> int:
        """Bytes that a request may have, by its path."""
        return _LARGEST.get(head.target, MAX_SMALL_REQUEST_BYTES)

    async def answer(self, request: Request) -> Response:
        """The answer, found in a worker thread once the address has a share of the processor left."""
        if request.method == "GET":
            return _text("I'm up!")
        if not await self._has_its_turn(request.client):
            return BUSY
        answer = self._posts[_kind(request)]
        try:
            return await trio.to_thread.run_sync(self._counted, answer, request, limiter=self._limiter)
        except EnclaveError as error:
            return error_response(error, 404)
        except EnclaveUnreachableError:
            return unreachable_response()

    async def _has_its_turn(self, client: str) -> bool:
        end = trio.current_time() + MAX_WAIT_SECONDS
        while (wait := self._share.wait_seconds(client, time.monotonic())) > 0.0:
            if trio.current_time() + wait > end:
                return False
            await trio.sleep(wait)
        return True

    def _counted(self, answer: Call, request: Request) -> Response:
        """In a worker thread. What it takes counts for the address, whether or not the request is refused."""
        begin = time.thread_time()
        try:
            return answer(request)
        finally:
            taken = time.thread_time() - begin
            trio.from_thread.run_sync(self._share.spend, request.client, taken, time.monotonic())


def _kind(request: Request) -> tuple[str, str]:
    return request.target, request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _tessera_posts(desk: TesseraPeerApi) -> dict[str, Call]:
    def receive_group(request: Request) -> Response:
        desk.receive_group(request.body)
        return Response(200)

    return {
        PUSH_PATH: lambda request: Response(201, desk.pushed(request.body).encode(), (TEXT,)),
        PUSH_GROUP_PATH: receive_group,
        PARTY_INFO_PATH: lambda request: Response(200, desk.party_info(request.body), (OCTETS_HEADER,)),
        VALIDATE_PATH: lambda request: Response(200, desk.proof(request.body), (TEXT,)),
    }


def _text(value: str) -> Response:
    return Response(200, value.encode(), (TEXT,))


def _cbor(value: bytes) -> Response:
    return Response(200, value, (CBOR,))
