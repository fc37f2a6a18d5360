"""The node port of a manager: each address has its share of the processor, and each path its bound."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from lacnode.http.arriving_bodies import ArrivingBodies
from lacnode.http.http_connection import HttpConnection
from lacnode.http.http_messages import Request, Response
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.key_proof_exchange import ProofResponder
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import MAX_PARTY_INFO_BYTES, PartyInfo, encode_orion_party_info
from lacnode.privacy.manager.payload_recovery import RecoveryResponder
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.proven_requests import RequestAuthenticator
from lacnode.privacy.manager.state_root_exchange import StateRootResponder
from lacnode.privacy.manager.tessera.tessera_peer_api import TesseraPeerApi
from lacnode.privacy.service.address_shares import AddressShares
from lacnode.privacy.service.manager_service import MAX_PEER_ARRIVING_BYTES
from lacnode.privacy.service.node_routes import (
    LARGE_REQUEST_BYTES,
    MAX_PAYLOAD_REQUEST_BYTES,
    NodeRoutes,
    RespondersBeyondOrion,
)
from tests.integration.test_privacy_hostile import CBOR, NODE_PATHS, OCTETS, TESSERA_PATHS
from tests.support.manager_network import ManagerNetwork
from tests.unit.privacy.test_tessera import ours

OWN = KeyPair.from_private_bytes(bytes([51]) * 32)


def opened(tessera: TesseraPeerApi | None = None, clock: Callable[[], float] = time.monotonic) -> NodeRoutes:
    keys, store = KeyRing([OWN]), PayloadStore()
    manager = LocalTransactionManager(keys, store, PeerDirectory([OWN.public], "http://own"), ManagerNetwork())
    challenges = RequestAuthenticator(keys)
    responders = RespondersBeyondOrion(
        ProofResponder(keys, lambda: None),
        challenges,
        RecoveryResponder(challenges, store),
        StateRootResponder(challenges),
        tessera,
    )
    return NodeRoutes(manager, responders, trio.CapacityLimiter(2), AddressShares(clock))


@pytest.fixture
async def routes() -> NodeRoutes:
    return opened()


def request(client: str, path: str = "/partyinfo") -> Request:
    body = encode_orion_party_info(PartyInfo(None))
    return Request("POST", path, {"content-type": "application/cbor"}, body, client)


async def test_an_address_that_has_used_up_its_share_waits_and_others_do_not(routes: NodeRoutes) -> None:
    routes._shares.confirm("member")
    routes._shares.spend("attacker", 1_000.0)
    with trio.fail_after(20):
        assert (await routes.answer(request("attacker"))).status == 503
        assert (await routes.answer(request("member"))).status == 200


async def test_what_a_request_takes_counts_for_its_address(routes: NodeRoutes) -> None:
    for _ in range(3):
        await routes.answer(request("member"))
    now = time.monotonic()
    most, _ = routes._shares._all._of("member", now)
    untouched, _ = routes._shares._all._of("other", now)
    assert most._left < untouched._left


async def test_the_cheapest_request_counts_and_waits_too(routes: NodeRoutes) -> None:
    """A flood of them would take a whole processor."""
    ask = Request("GET", "/upcheck", {}, b"", "member")
    assert (await routes.answer(ask)).status == 200
    now, share = time.monotonic(), routes._shares._all
    assert share._of("member", now)[0]._left < share._of("other", now)[0]._left
    routes._shares.spend("attacker", 1_000.0)
    with trio.fail_after(20):
        assert (await routes.answer(Request("GET", "/upcheck", {}, b"", "attacker"))).status == 503


async def test_refused_heads_count_for_their_address() -> None:
    """Attack: a path that no manager has, on a new connection each time."""
    routes = opened(clock=lambda: 0.0)
    for _ in range(3_000):
        refusal = routes.answer_head(Request("GET", "/x", {}, b"", "attacker"))
        assert refusal is not None
        assert refusal.status == 404
    assert routes._shares.wait_seconds("attacker") > 0.0
    assert routes._shares.wait_seconds("member") == 0.0


async def test_a_request_that_is_told_to_come_later_counts_for_its_address() -> None:
    routes = opened(clock=lambda: 0.0)
    routes._shares.spend("attacker", 1_000.0)
    before = routes._shares.wait_seconds("attacker")
    assert (await routes.answer(request("attacker"))).status == 503
    assert routes._shares.wait_seconds("attacker") > before


@pytest.mark.parametrize(("is_tls", "count"), [(False, 2_600), (True, 434)], ids=["plain", "tls"])
async def test_new_connections_wait_for_the_share_of_their_address(is_tls: bool, count: int) -> None:
    """Attack: connections that send nothing, or a request that is refused."""
    routes, admitted = opened(clock=lambda: 0.0), list[bool]()

    async def connect() -> None:
        admitted.append(await routes.admits_connection("attacker", is_tls=is_tls))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(connect)
        with trio.fail_after(60):
            await trio.testing.wait_all_tasks_blocked()
            assert count // 2 < sum(admitted) < count
            assert await routes.admits_connection("member", is_tls=is_tls)
        nursery.cancel_scope.cancel()


async def test_an_address_that_opens_many_connections_at_once_delays_no_other_address() -> None:
    routes, admitted = opened(clock=lambda: 0.0), list[bool]()

    async def connect() -> None:
        admitted.append(await routes.admits_connection("attacker", is_tls=False))

    async with trio.open_nursery() as nursery:
        for _ in range(10_000):
            nursery.start_soon(connect)
        with trio.fail_after(60):
            await trio.testing.wait_all_tasks_blocked()
            assert admitted.count(False) > 5_000
            assert await routes.admits_connection("member", is_tls=False)
            assert (await routes.answer(request("member"))).status == 200
        nursery.cancel_scope.cancel()


async def test_a_connection_is_closed_if_its_address_has_used_too_much_and_counts_no_more() -> None:
    """Other managers may be behind the address. They need not wait longer for what was closed."""
    routes = opened(clock=lambda: 0.0)
    routes._shares.spend("attacker", 1_000.0)
    before = routes._shares.wait_seconds("attacker")
    assert not await routes.admits_connection("attacker", is_tls=False)
    assert routes._shares.wait_seconds("attacker") == before


async def test_large_requests_are_computed_one_after_the_other_and_small_ones_beside(routes: NodeRoutes) -> None:
    """Each of them takes several times its length in memory."""
    begun, may_end, bodies = threading.Semaphore(0), threading.Semaphore(0), list[int]()

    def answer(asked: Request) -> Response:
        bodies.append(len(asked.body))
        begun.release()
        assert may_end.acquire(timeout=60)
        return Response(200)

    routes._posts["/push", "application/cbor"] = answer
    large = Request("POST", "/push", {"content-type": "application/cbor"}, bytes(LARGE_REQUEST_BYTES + 1), "a")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(routes.answer, large)
            await trio.to_thread.run_sync(begun.acquire)
            assert (await routes.answer(request("b"))).status == 200
            assert len(bodies) == 1
            may_end.release(3)
    assert len(bodies) == 3


class Pushes:
    """Pushes to `routes` that are computed until `end` lets one of them end."""

    def __init__(self, routes: NodeRoutes) -> None:
        self._begun, self._may_end = threading.Semaphore(0), threading.Semaphore(0)
        routes._posts["/push", "application/cbor"] = self._compute

    def _compute(self, asked: Request) -> Response:
        self._begun.release()
        assert self._may_end.acquire(timeout=60)
        return Response(200)

    async def wait_until_one_begins(self) -> None:
        assert await trio.to_thread.run_sync(self._begun.acquire, True, 60)

    def end(self, count: int) -> None:
        self._may_end.release(count)


@asynccontextmanager
async def connected(
    routes: NodeRoutes, limit_bytes: int, clients: Sequence[str]
) -> AsyncIterator[list[trio.abc.Stream]]:
    """Connections of these addresses to a port whose requests may have so many bytes together."""
    arriving, streams = ArrivingBodies(limit_bytes), list[trio.abc.Stream]()
    async with trio.open_nursery() as nursery:
        for client in clients:
            stream, other = trio.testing.memory_stream_pair()
            nursery.start_soon(HttpConnection(other, routes, routes.largest_body, None, arriving, client).run)
            streams.append(stream)
        with trio.fail_after(60):
            yield streams
        nursery.cancel_scope.cancel()


def sent(body: bytes, path: str = "/push") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/cbor\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def status(stream: trio.abc.Stream) -> int:
    return int(bytes(await stream.receive_some()).split()[1])


async def test_a_whole_request_that_waits_for_its_share_gives_way_to_one_that_arrives() -> None:
    """Attack: an address that has used up its share fills the port with whole requests, which wait for seconds."""
    routes = opened(clock=lambda: 0.0)
    routes._shares.spend("attacker", 1.9)
    async with connected(routes, 1_000, ["attacker", "member"]) as (attacker, member):
        await attacker.send_all(sent(bytes(999)))
        await trio.testing.wait_all_tasks_blocked()
        whole = sent(request("member").body, "/partyinfo")
        await member.send_all(whole[:-1])
        await trio.testing.wait_all_tasks_blocked()
        await member.send_all(whole[-1:])
        assert await status(member) == 200
        assert await status(attacker) == 503


@pytest.mark.parametrize(("size", "computed"), [(LARGE_REQUEST_BYTES + 1, 1), (500, 2)], ids=["large", "small"])
async def test_a_whole_request_that_waits_for_a_thread_gives_way_to_one_that_arrives(
    routes: NodeRoutes, size: int, computed: int
) -> None:
    """Attack: many requests of one address come at the same time, before the first one has used up its share."""
    pushes = Pushes(routes)
    async with connected(routes, (computed + 1) * size, ["attacker"] * (computed + 1) + ["member"]) as streams:
        *attackers, member = streams
        for attacker in attackers:
            await attacker.send_all(sent(bytes(size)))
        for _ in range(computed):
            await pushes.wait_until_one_begins()
        await trio.testing.wait_all_tasks_blocked()
        whole = sent(request("member").body, "/partyinfo")
        await member.send_all(whole[:-1])
        await trio.testing.wait_all_tasks_blocked()
        await member.send_all(whole[-1:])
        pushes.end(computed)
        assert await status(member) == 200
        assert sorted([await status(attacker) for attacker in attackers]) == [200] * computed + [503]


async def test_the_largest_request_can_arrive_while_another_one_is_computed(routes: NodeRoutes) -> None:
    pushes = Pushes(routes)
    async with connected(routes, MAX_PEER_ARRIVING_BYTES, ["attacker", "member"]) as (attacker, member):
        await attacker.send_all(sent(bytes(MAX_PAYLOAD_REQUEST_BYTES)))
        await pushes.wait_until_one_begins()
        await member.send_all(sent(bytes(MAX_PAYLOAD_REQUEST_BYTES)))
        await trio.testing.wait_all_tasks_blocked()
        pushes.end(2)
        assert await status(member) == 200
        assert await status(attacker) == 200


async def test_a_request_waits_again_if_others_of_its_address_have_used_up_the_share_meanwhile(
    routes: NodeRoutes,
) -> None:
    """Requests that come together find the share unused. What each of them takes is known only in the end."""
    pushes = Pushes(routes)
    async with connected(routes, 1_000, ["attacker"] * 3) as attackers:
        for attacker in attackers:
            await attacker.send_all(sent(b"x"))
        for _ in range(2):
            await pushes.wait_until_one_begins()
        await trio.testing.wait_all_tasks_blocked()
        routes._shares.spend("attacker", 1_000.0)
        pushes.end(3)
        assert sorted([await status(attacker) for attacker in attackers]) == [200, 200, 503]


async def test_strangers_are_tried_on_every_path(routes: NodeRoutes) -> None:
    assert set(routes._posts) == {(path, CBOR["content-type"]) for path in NODE_PATHS}


async def test_strangers_are_tried_on_every_path_of_tesseras() -> None:
    tried = {(path, OCTETS["content-type"]) for path in TESSERA_PATHS}
    assert set(opened(ours().responder)._posts) - set(opened()._posts) == tried


async def test_each_path_has_its_bound(routes: NodeRoutes) -> None:
    sizes = {path: routes.largest_body(request("a", path)) for path in ("/push", "/partyinfo", "/lacnode/prove")}
    assert sizes == {"/push": MAX_PAYLOAD_REQUEST_BYTES, "/partyinfo": MAX_PARTY_INFO_BYTES, "/lacnode/prove": 16_384}
