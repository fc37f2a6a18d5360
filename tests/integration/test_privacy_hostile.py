"""The node API among strangers: managers that lie, drip, flood or never answer, and one of ours in between that goes on."""

import contextlib
import gzip
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import h11
import httpx
import pytest
import trio

from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_reader import MalformedCborError, read_cbor
from lacnode.privacy.manager.cbor_records import encode_map
from lacnode.privacy.manager.encrypted_payload import BOX_SIZE, MAX_BOXES, encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.orion_party_info import MAX_PARTY_INFO_URLS, PartyInfo, encode_orion_party_info, is_url
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import MAX_URLS_PER_SOURCE
from lacnode.privacy.manager.tessera.tessera_party_info import encode_tessera_party_info
from lacnode.privacy.manager.tessera.tessera_payload import encode_tessera_payload
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.state.private_transaction import encode_payload_text
from lacnode.privacy.transaction_manager import EnclaveError
from tests.support.private_nodes import private

PATIENCE = 60.0

A, B, EVIL, ABSENT = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in (21, 22, 23, 24))
SECRET = b"what only the recipient may read"
CBOR = {"content-type": "application/cbor"}
NODE_PATHS = (
    "/push", "/pushPrivacyGroup", "/partyinfo", "/lacnode/push", "/lacnode/challenge", "/lacnode/recover", "/lacnode/prove",
    "/lacnode/roots", "/lacnode/group",
)  # fmt: skip
PATHS_OF_RECORDS = ("/push", "/pushPrivacyGroup", "/partyinfo", "/lacnode/push", "/lacnode/group")
"""The paths that take 200 kB. The others take questions of 16 kB."""

LARGE_BOMB_BYTES, SMALL_BOMB_BYTES = 200_000, 16_000
TESSERA_PATHS = ("/push", "/pushPrivacyGroup", "/partyinfo", "/partyinfo/validate")
"""The paths with octets, which a manager with `tesseranodes` answers."""

OCTETS = {"content-type": "application/octet-stream"}
MEGABYTE = 2**20


def decimal_fraction(size: int) -> bytes:
    """A record of `size` bytes that is quadratic work for a library that reads tags."""
    digits = size - 12
    return b"\xa1\x61a\xc4\x82\x00\xc2\x5a" + digits.to_bytes(4) + b"\xff" * digits


def empty_arrays(size: int) -> bytes:
    """A record of `size` bytes that takes 64 times as much memory."""
    return b"\x9f" + b"\x80" * (size - 2) + b"\xff"


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the bounded reader has refused records, in order. It builds nothing of what it refuses."""
    found: list[str] = []

    def reading(data: bytes, *arguments: Any) -> object:
        try:
            return read_cbor(data, *arguments)
        except MalformedCborError as refused:
            found.append(str(refused))
            raise

    monkeypatch.setattr("lacnode.privacy.manager.cbor_records.read_cbor", reading)
    return found


@contextmanager
def taking_at_most(size: int) -> Iterator[None]:
    """Fail if what runs within takes more bytes of memory at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@dataclass
class Stranger:
    """Something that listens where a manager might. `answers` are bytes on the wire by path; a path without any is left
    without an answer for ever."""

    port: int
    answers: dict[str, bytes | Callable[[trio.SocketStream], Awaitable[None]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def announces(self, *keys: bytes, urls: Sequence[str] = ()) -> None:
        """Party info of its own: it has these keys."""
        view = PartyInfo(self.url, (self.url, *urls), dict.fromkeys(keys, self.url))
        self.answers["/partyinfo"] = response(encode_orion_party_info(view))

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            try:
                while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        connection.receive_data(await stream.receive_some(65_536))
                    elif isinstance(event, h11.Request):
                        path = event.target.decode()
                        self.asked.append(path)
                    elif isinstance(event, h11.ConnectionClosed):
                        return
                answer = self.answers.get(path, forever)
                await (stream.send_all(answer) if isinstance(answer, bytes) else answer(stream))
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                pass


async def forever(stream: trio.SocketStream) -> None:
    await stream.receive_some(1)


async def endlessly(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        await stream.send_all(bytes(MEGABYTE))


async def drop_by_drop(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        await stream.send_all(b"x")
        await trio.sleep(0.1)


def response(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""]
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def stranger() -> AsyncIterator[Stranger]:
    listeners = await trio.open_tcp_listeners(0, host="0.0.0.0")
    made = Stranger(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, made.serve, listeners)
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def manager(
    pair: KeyPair,
    *others: str,
    known: dict[bytes, str] | None = None,
    recover: bool = False,
    only_proven: bool | None = None,
    tesseras: Sequence[str] = (),
) -> AsyncIterator[ManagerService]:
    """A running one with both ports."""
    store = PayloadStore()
    store.put_known_nodes(known or {})
    settings = ServiceSettings(other_nodes=others, recover=recover, only_proven=only_proven, tessera_nodes=tesseras)
    service = ManagerService(KeyRing([pair]), store, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        yield service
        nursery.cancel_scope.cancel()
    service.close()


def url_of(service: ManagerService) -> str:
    return f"http://127.0.0.1:{service.node_port}"


async def until(condition: Callable[[], bool], what: str) -> None:
    end = trio.current_time() + PATIENCE
    while True:
        if condition():
            return
        assert trio.current_time() < end, f"not in {PATIENCE} s: {what}"
        await trio.sleep(0.02)


async def delivers(sender: ManagerService, receiver: ManagerService, payload: bytes = SECRET) -> bool:
    """Whether it sends to the other within reason."""
    recipient = receiver.manager.keys.public_keys[0]
    with trio.fail_after(PATIENCE):
        await until(lambda: sender.manager.party_info.keys.get(recipient) == url_of(receiver), "the other is known")
        key = await trio.to_thread.run_sync(sender.manager.send, payload, None, [recipient], abandon_on_cancel=True)
        got = await trio.to_thread.run_sync(receiver.manager.receive, key)
    return got.payload == payload


async def refusal(service: ManagerService, *recipients: KeyPair) -> str:
    keys = [recipient.public for recipient in recipients]
    with pytest.raises(EnclaveError) as error, trio.fail_after(PATIENCE):
        await trio.to_thread.run_sync(service.manager.send, SECRET, None, keys, abandon_on_cancel=True)
    return error.value.code


class TestWhatTheyAnswer:
    @pytest.mark.parametrize(
        "answer",
        [
            response(b"another digest"),
            response(b"", status="204 No Content"),
            response(gzip.compress(bytes(200 * MEGABYTE), 9), "Content-Encoding: gzip"),
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut off",
            endlessly,
            drop_by_drop,
            forever,
        ],
        ids=["digest", "nothing", "bomb", "ssh", "cut", "endless", "drip", "silence"],
    )
    async def test_to_a_payload_is_no_delivery(
        self, answer: bytes | Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        async with stranger() as evil, manager(A, known={EVIL.public: evil.url}, only_proven=False) as a:
            evil.answers["/push"] = answer
            # An answer without end comes in pieces of a megabyte.
            with taking_at_most(8 * MEGABYTE):
                assert await refusal(a, EVIL) == "NodePropagatingToAllPeers"

    @pytest.mark.parametrize(
        ("answer", "asked"),
        [
            (response(b"", status="404 Not Found"), ["/lacnode/push", "/push"]),
            (response(b"", status="500 Internal Server Error"), ["/lacnode/push", "/push"]),
            (forever, ["/lacnode/push"]),
        ],
        ids=["unknown", "error", "silence"],
    )
    async def test_to_a_payload_with_boxes_to_keep_decides_whether_they_get_it_alone(
        self, answer: bytes | Callable[[trio.SocketStream], Awaitable[None]], asked: list[str]
    ) -> None:
        """As an Orion must, which knows no path of ours; who does not answer at all is not called twice."""
        async with stranger() as other, manager(B) as b:
            other.answers |= {"/lacnode/push": answer, "/push": response(b"another digest")}
            async with manager(A, known={EVIL.public: other.url, B.public: url_of(b)}, only_proven=False) as a:
                assert await refusal(a, EVIL, B) == "NodePropagatingToAllPeers"
            assert [path for path in other.asked if path.endswith("/push")] == asked

    async def test_that_the_answer_is_elsewhere_is_not_followed(self) -> None:
        async with (
            stranger() as evil,
            stranger() as inner,
            manager(A, known={EVIL.public: evil.url}, only_proven=False) as a,
        ):
            evil.answers["/push"] = response(b"", f"Location: {inner.url}/push", status="307 Temporary Redirect")
            assert await refusal(a, EVIL) == "NodePropagatingToAllPeers"
            assert "/push" not in inner.asked

    @pytest.mark.parametrize("answer", [response(b"\xff" * 100), endlessly, drop_by_drop, forever])
    async def test_to_party_info_keeps_nobody_from_the_others(
        self, answer: bytes | Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        async with stranger() as evil:
            evil.answers["/partyinfo"] = answer
            async with manager(B) as b, manager(A, evil.url, url_of(b)) as a:
                await until(lambda: "/partyinfo" in evil.asked, "the stranger is asked")
                assert await delivers(a, b)


class TestWhatTheyAnnounce:
    async def test_a_key_that_nothing_can_be_sealed_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """32 zero bytes: the library refuses to make a box, in the middle of asking for lost payloads."""
        # A challenge is kept for half a minute otherwise, and a question without an answer holds the next one up.
        monkeypatch.setattr("lacnode.privacy.manager.proven_requests.CHALLENGE_REUSE_SECONDS", 0.0)
        async with stranger() as evil:
            evil.announces(bytes(32), EVIL.public)
            evil.answers["/lacnode/challenge"] = response(encode_map({"challenge": bytes(40)}))
            evil.answers["/lacnode/recover"] = response(b"", status="404 Not Found")
            async with manager(B) as b, manager(A, evil.url, url_of(b), recover=True) as a:
                await until(lambda: evil.asked.count("/lacnode/challenge") >= 4, "it is asked again later")
                assert await delivers(a, b)

    @pytest.mark.parametrize("host", ["a..b", "a" * 64, ".", "xn--zzzzzz", "a b", "\N{SNOWMAN}..\N{SNOWMAN}"])
    async def test_a_host_that_nobody_can_look_up(self, host: str) -> None:
        """As an address, and as that of a key, which outlives a restart."""
        bad = f"http://{host}:1"
        async with stranger() as evil, manager(B) as b:
            evil.answers["/partyinfo"] = response(
                encode_orion_party_info(PartyInfo(evil.url, (bad,), {EVIL.public: bad}))
            )
            async with manager(A, evil.url, url_of(b), known={EVIL.public: bad, ABSENT.public: bad}) as a:
                await until(lambda: evil.asked.count("/partyinfo") >= 2, "it is asked again")
                expected = "NodePropagatingToAllPeers" if is_url(bad) else "NodeMissingPeerUrl"
                assert await refusal(a, ABSENT) == expected
                assert await delivers(a, b)

    async def test_a_thousand_addresses_that_never_answer_delay_no_payload(self) -> None:
        async with stranger() as evil, manager(B) as b:
            pits = [f"http://127.0.{number // 250}.{number % 250 + 2}:{evil.port}" for number in range(1000)]
            evil.announces(urls=pits)
            async with manager(A, evil.url, url_of(b)) as a:
                await until(lambda: len(a.manager.party_info.urls) > MAX_URLS_PER_SOURCE, "the addresses are known")
                await until(lambda: evil.asked.count("/partyinfo") > 20, "they are asked")
                assert await delivers(a, b)

    async def test_keys_that_answer_are_stored_while_the_manager_runs(self) -> None:
        async with stranger() as evil:
            evil.announces(EVIL.public)
            async with manager(A, evil.url) as a:
                await until(lambda: a._store.read_known_nodes() == {EVIL.public: evil.url}, "the key is stored")

    async def test_managers_of_lost_payloads_that_never_answer_keep_nobody_from_those_that_do(self) -> None:
        async with stranger() as evil, manager(B) as b, manager(A, known={B.public: "http://127.0.0.1:1"}) as a:
            key = await trio.to_thread.run_sync(self.sent_and_lost, a)
            places = [evil.url] * 80 + [f"http://127.0.1.{number}:{evil.port}" for number in range(1, 13)]
            tarpits = {
                KeyPair.from_private_bytes(bytes([7, number]) * 16).public: place for number, place in enumerate(places)
            }
            b._peers.add_party_info(PartyInfo(evil.url, (), tarpits))
            b._peers.add_party_info(PartyInfo(None, (), {A.public: url_of(a)}))
            await trio.to_thread.run_sync(self.missed, b, key)
            await until(lambda: b.manager.has_payload(key, B.public), "the payload is back")

    def sent_and_lost(self, a: ManagerService) -> bytes:
        """B's manager, which A does not know yet, never got it."""
        with pytest.raises(EnclaveError):
            a.manager.send(SECRET, None, [B.public])
        return a._store.read_payloads(A.public, 0, 1)[0].payload.key

    def missed(self, b: ManagerService, key: bytes) -> None:
        with pytest.raises(EnclaveError, match="EnclavePayloadNotFound"):
            b.manager.receive(key)

    async def test_a_key_before_its_owner_comes(self) -> None:
        """A stranger was first to announce B's key; B's manager, when it comes, proves that it is B's."""
        async with stranger() as evil:
            evil.announces(B.public)
            async with manager(A, evil.url) as a:
                await until(lambda: a.manager.party_info.keys.get(B.public) == evil.url, "the stranger is believed")
                async with manager(B, url_of(a)) as b:
                    assert await delivers(a, b)
                    assert "/push" not in evil.asked

    async def test_a_key_before_its_owner_comes_gets_them_nothing(self) -> None:
        """The stranger answers a push as whoever has it would, and knows no path of ours, like an Orion."""
        async with stranger() as evil:
            evil.announces(B.public)
            unknown = response(b"", status="404 Not Found")
            evil.answers |= {"/lacnode/prove": unknown, "/lacnode/push": unknown, "/push": response(b"a digest")}
            async with manager(A) as a:
                a._peers.add_party_info(PartyInfo(evil.url, (evil.url,), {B.public: evil.url}))
                assert await refusal(a, B) == "NodeMissingPeerUrl"
                assert "/lacnode/prove" in evil.asked
                assert not {"/push", "/lacnode/push"} & set(evil.asked)


class TestWhatTheySend:
    async def test_garbage_on_every_path(self) -> None:
        async with manager(B) as b, httpx.AsyncClient(base_url=url_of(b), headers=CBOR) as client:
            for path in NODE_PATHS:
                for body in (
                    b"",
                    b"\xbf\xff",
                    b"\xff" * 99,
                    b"\x9f" * 9999,
                    b"\xbb" + b"\xff" * 8,
                    b"\xd8\x1c\x81" * 99,
                ):
                    answer = await client.post(path, content=body)
                    assert (answer.status_code, answer.json()) == (500, {"error": "ObjectJsonDeserialization"})
                assert (await client.get(path)).status_code == 404
            async with manager(A, url_of(b)) as a:
                assert await delivers(a, b)

    async def test_garbage_and_bombs_on_every_path_of_tesseras(self) -> None:
        """Lengths that no body has, and counts of ever more parts."""
        length = (2**63 - 1).to_bytes(8)
        bodies = (
            b"",
            b"\xff" * 99,
            bytes(7),
            length * 99,
            (1).to_bytes(8) * 25_000,
            (2**20).to_bytes(8) + bytes(200_000),
        )
        async with stranger() as evil, manager(B, tesseras=(evil.url,)) as b:
            async with httpx.AsyncClient(base_url=url_of(b), headers=OCTETS, timeout=PATIENCE) as client:
                for path, body in itertools.product(TESSERA_PATHS, bodies):
                    # To believe a length or a count would take more than what came.
                    with taking_at_most(5 * len(body) + MEGABYTE // 2):
                        answer = await client.post(path, content=body)
                    assert answer.status_code in (404, 413, 500), (path, body[:20])
                    assert answer.status_code == 413 or answer.json()["error"], (path, body[:20])
            async with manager(A, url_of(b)) as a:
                assert await delivers(a, b)

    @pytest.mark.parametrize(("too_many", "status"), [(0, 200), (1, 500)], ids=["as many as may be", "one more"])
    async def test_parts_of_a_record_of_tesseras_are_counted(self, too_many: int, status: int) -> None:
        urls = tuple(f"http://{number}:80" for number in range(MAX_PARTY_INFO_URLS + too_many))
        sent = encode_payload_text(private(private_from=EVIL.public, private_for=(B.public,)))
        sealed = encrypt_payload(sent, EVIL, [B.public], group_id((EVIL.public, B.public))).with_boxes_at([0])
        boxes = [*sealed.boxes, *(number.to_bytes(BOX_SIZE) for number in range(MAX_BOXES - 1 + too_many))]
        bodies = {
            "/partyinfo": encode_tessera_party_info(PartyInfo(urls[0], urls)),
            "/push": encode_tessera_payload(replace(sealed, boxes=tuple(boxes)), ()),
        }
        async with (
            stranger() as evil,
            manager(B, tesseras=(evil.url,)) as b,
            httpx.AsyncClient(base_url=url_of(b), headers=OCTETS, timeout=PATIENCE) as client,
        ):
            answers = {path: await client.post(path, content=body) for path, body in bodies.items()}
        assert {path: answer.status_code // 100 * 100 for path, answer in answers.items()} == dict.fromkeys(
            bodies, status
        )

    async def test_a_payload_for_a_group_of_recipients_that_they_are_not_in(self) -> None:
        """The stranger's own key and signature, and the id of {A, B}, which anyone computes."""
        sent = encode_payload_text(private(private_from=EVIL.public, private_for=(B.public,)))
        sealed = encrypt_payload(sent, EVIL, [B.public], group_id((A.public, B.public))).with_boxes_at([0])
        async with manager(B) as b, httpx.AsyncClient(base_url=url_of(b), headers=CBOR) as client:
            answer = await client.post("/push", content=encode_orion_payload(sealed))
            assert (answer.status_code, answer.json()) == (404, {"error": "PrivacyGroupNotFound"})
            assert not b.manager.has_payload(sealed.key, B.public)
            own = encrypt_payload(sent, EVIL, [B.public], group_id((EVIL.public, B.public))).with_boxes_at([0])
            assert (await client.post("/push", content=encode_orion_payload(own))).status_code == 200

    async def test_a_body_that_is_compressed_is_not_unfolded(self) -> None:
        async with manager(B) as b, httpx.AsyncClient(base_url=url_of(b)) as client:
            bomb = gzip.compress(bytes(200 * MEGABYTE), 9)
            with taking_at_most(8 * MEGABYTE):
                answer = await client.post("/push", content=bomb, headers={**CBOR, "content-encoding": "gzip"})
            assert answer.status_code >= 400

    async def test_connections_of_strangers_leave_the_clients_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.privacy.service.manager_service.MAX_CONNECTIONS", 3)
        async with manager(B) as b, trio.open_nursery() as nursery:
            assert b.node_port is not None
            streams = [await trio.open_tcp_stream("127.0.0.1", b.node_port) for _ in range(3)]
            fourth = await trio.open_tcp_stream("127.0.0.1", b.node_port)
            with trio.fail_after(PATIENCE), pytest.raises((trio.BrokenResourceError, AssertionError)):
                assert await fourth.receive_some(1) != b""
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                assert (await client.get(f"http://127.0.0.1:{b.client_port}/upcheck")).text == "I'm up!"
            for stream in (*streams, fourth):
                await stream.aclose()
            nursery.cancel_scope.cancel()

    async def test_half_sent_requests_of_one_address_close_the_port_to_nobody(self) -> None:
        async with manager(B) as b:
            assert b.node_port is not None
            half = b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Type: application/cbor\r\nContent-Length: 9\r\n\r\nx"
            streams = []
            for _ in range(260):
                streams.append(await trio.open_tcp_stream("127.0.0.1", b.node_port))
                with contextlib.suppress(trio.BrokenResourceError):
                    await streams[-1].send_all(half)
            async with manager(A, url_of(b)) as a:
                assert await delivers(a, b)
            for stream in streams:
                await stream.aclose()

    async def test_connections_of_an_address_that_has_used_up_its_share_are_closed(self) -> None:
        async with manager(B) as b:
            assert b.node_port is not None
            b._shares.spend("127.0.0.1", 1_000.0)
            async with await trio.open_tcp_stream("127.0.0.1", b.node_port) as stream:
                with trio.fail_after(PATIENCE):
                    assert await stream.receive_some(1) == b""
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                assert (await client.get(f"http://127.0.0.1:{b.client_port}/upcheck")).text == "I'm up!"

    async def test_strangers_that_use_up_the_processor_do_not_delay_a_confirmed_manager(self) -> None:
        async with manager(B) as b, manager(A, url_of(b)) as a:
            await until(lambda: "127.0.0.1" in b._shares._confirmed_until, "A has answered B")
            b._shares.spend("stranger", 1_000.0)
            assert b._shares.wait_seconds("another stranger") > 0.0
            assert await delivers(a, b)

    @pytest.mark.parametrize(("bomb", "why"), [(decimal_fraction, "a tag"), (empty_arrays, "more memory")])
    async def test_bombs_on_every_path_are_refused_before_they_are_built(
        self, bomb: Callable[[int], bytes], why: str, refusals: list[str]
    ) -> None:
        sizes = {path: LARGE_BOMB_BYTES if path in PATHS_OF_RECORDS else SMALL_BOMB_BYTES for path in NODE_PATHS}
        async with manager(B) as b, httpx.AsyncClient(base_url=url_of(b), headers=CBOR, timeout=PATIENCE) as client:
            with taking_at_most(40 * LARGE_BOMB_BYTES):
                for path, size in sizes.items():
                    answer = await client.post(path, content=bomb(size))
                    assert (answer.status_code, answer.json()) == (500, {"error": "ObjectJsonDeserialization"}), path
                    assert len(refusals) == 1, path
                    assert why in refusals.pop()
            for path in set(NODE_PATHS).difference(PATHS_OF_RECORDS):
                assert (await client.post(path, content=bomb(LARGE_BOMB_BYTES))).status_code == 413
            assert not refusals, "what is too long was read"
            async with manager(A, url_of(b)) as a:
                assert await delivers(a, b)

    @pytest.mark.parametrize(("bomb", "why"), [(decimal_fraction, "a tag"), (empty_arrays, "more memory")])
    async def test_a_bomb_as_an_answer_to_party_info_is_refused_before_it_is_built(
        self, bomb: Callable[[int], bytes], why: str, refusals: list[str]
    ) -> None:
        async with stranger() as evil:
            evil.answers["/partyinfo"] = response(bomb(LARGE_BOMB_BYTES))
            with taking_at_most(40 * LARGE_BOMB_BYTES):
                async with manager(B) as b, manager(A, evil.url, url_of(b)) as a:
                    await until(lambda: sum(why in refusal for refusal in refusals) >= 2, "two answers are refused")
                    assert await delivers(a, b)

    async def test_pushes_that_take_long_leave_the_clients_their_own_workers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with manager(B) as b:
            go_on = trio.Event()
            token = trio.lowlevel.current_trio_token()
            begun: list[bytes] = []

            def pushed(body: bytes) -> str:
                begun.append(body)
                trio.from_thread.run(go_on.wait, trio_token=token)
                return ""

            monkeypatch.setattr(b.manager.intake, "receive_push", pushed)
            async with httpx.AsyncClient(timeout=PATIENCE) as client, trio.open_nursery() as nursery:
                for _ in range(12):
                    nursery.start_soon(lambda: client.post(f"{url_of(b)}/push", headers=CBOR, content=b"x"))
                await until(lambda: len(begun) == 4, "every worker for peers is busy")
                answer = await client.get(f"http://127.0.0.1:{b.client_port}/knownnodes")
                assert answer.status_code == 200
                assert len(begun) == 4
                go_on.set()


async def test_what_can_be_sent_can_be_had_back() -> None:
    """A large payload is one answer of the manager that still has it."""
    large = bytes(10 * MEGABYTE)
    async with manager(A) as a:
        async with manager(B, url_of(a)) as b:
            assert await delivers(b, a, large)
            assert await delivers(a, b, large)
        async with manager(B, url_of(a), recover=True) as again:
            await until(lambda: len(again._store.read_payloads(B.public, 0, 9)) == 2, "both are back")
