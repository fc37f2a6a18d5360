"""Orion's node API, ours for payloads that are lost or may be, for proofs of keys and for state roots, and Tessera's: what
each path answers to other managers. Orion's and ours come as CBOR, Tessera's as octets, so that one port has all. All of
it is strangers'.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from lacnode.http.messages import Request, Response
from lacnode.privacy.manager.local import LocalTransactionManager
from lacnode.privacy.manager.peer_paths import PARTY_INFO, PUSH, PUSH_GROUP
from lacnode.privacy.manager.proof import PROVE, ProofDesk
from lacnode.privacy.manager.proven_requests import CHALLENGE, Challenges
from lacnode.privacy.manager.recovery import RECOVER, RecoveryDesk
from lacnode.privacy.manager.root_exchange import ROOTS, RootDesk
from lacnode.privacy.manager.spare_boxes import PUSH_WITH_SPARES
from lacnode.privacy.manager.tessera.desk import TesseraDesk
from lacnode.privacy.manager.tessera.nodes import OCTETS, VALIDATE
from lacnode.privacy.service.failures import failed, unreachable
from lacnode.privacy.transaction_manager import ManagerError, ManagerUnreachable

TEXT = ("content-type", "text/plain")
CBOR = ("content-type", "application/cbor")


@dataclass(frozen=True, slots=True)
class Desks:
    """Who answers what Orion's node API has no word for; Tesseras are answered where there is a desk for them."""

    proofs: ProofDesk
    challenges: Challenges
    recovery: RecoveryDesk
    roots: RootDesk
    tessera: TesseraDesk | None = None


class NodeRoutes:
    """Answers in worker threads of `limiter`."""

    def __init__(self, manager: LocalTransactionManager, desks: Desks, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        posts: dict[str, Callable[[bytes], Response]] = {
            PUSH: lambda body: _text(manager.pushed(body)),
            PUSH_GROUP: lambda body: _text(manager.group_pushed(body)),
            PARTY_INFO: lambda body: _cbor(manager.views_exchanged(body)),
            PUSH_WITH_SPARES: lambda body: _text(manager.pushed_with_spares(body)),
            PROVE: lambda body: _cbor(desks.proofs.prove(body)),
            CHALLENGE: lambda body: _cbor(desks.challenges.give(body)),
            RECOVER: lambda body: _cbor(desks.recovery.recover(body)),
            ROOTS: lambda body: _cbor(desks.roots.answer(body)),
        }
        self._posts = {(path, CBOR[1]): answer for path, answer in posts.items()}
        if desks.tessera is not None:
            self._posts |= {(path, OCTETS[1]): answer for path, answer in _tessera_posts(desks.tessera).items()}

    def early(self, head: Request) -> Response | None:
        """Refuse unknown paths before anything is read."""
        if head.method == "GET" and head.target == "/upcheck":
            return None
        known = head.method == "POST" and _kind(head) in self._posts
        return None if known else Response(404, close=True)

    async def answer(self, request: Request) -> Response:
        """The answer, found in a worker thread."""
        if request.method == "GET":
            return _text("I'm up!")
        try:
            return await trio.to_thread.run_sync(self._posts[_kind(request)], request.body, limiter=self._limiter)
        except ManagerError as error:
            return failed(error, 404)
        except ManagerUnreachable:
            return unreachable()


def _kind(request: Request) -> tuple[str, str]:
    return request.target, request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _tessera_posts(desk: TesseraDesk) -> dict[str, Callable[[bytes], Response]]:
    def group_pushed(body: bytes) -> Response:
        desk.group_pushed(body)
        return Response(200)

    return {
        PUSH: lambda body: Response(201, desk.pushed(body).encode(), (TEXT,)),
        PUSH_GROUP: group_pushed,
        PARTY_INFO: lambda body: Response(200, desk.party_info(body), (OCTETS,)),
        VALIDATE: lambda body: Response(200, desk.proof(body), (TEXT,)),
    }


def _text(value: str) -> Response:
    return Response(200, value.encode(), (TEXT,))


def _cbor(value: bytes) -> Response:
    return Response(200, value, (CBOR,))
