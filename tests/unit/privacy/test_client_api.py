"""A node and its manager through the client API, without a socket between them: every call, every wrong body, and answers
that a manager must not give."""

import gzip
import json
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import orjson
import pytest
import trio

from lacnode.http.http_messages import Request, Response
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.service import http_manager
from lacnode.privacy.service.client_routes import ORION, ClientRoutes
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from tests.support.manager_network import ManagerNetwork

SECRET = b"the plaintext of an agreement"
A, B, C, STRANGER = (KeyPair.from_private_bytes(bytes([number]) * 32) for number in range(1, 5))
JSON_TYPE = {"content-type": "application/json"}
BINARY_TYPE = {"content-type": "application/octet-stream"}


def routes_of(manager: LocalTransactionManager, **settings: Any) -> ClientRoutes:
    return ClientRoutes(manager, "lacnode test", trio.CapacityLimiter(1), **settings)


def ask(routes: ClientRoutes, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    """The answer to a client of this machine."""
    named = {"host": "localhost:8888", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = Request(method, path, named, body, client="127.0.0.1")
    return routes.answer_head(request) or trio.run(routes.answer, request)


@pytest.fixture
def network() -> ManagerNetwork:
    network = ManagerNetwork()
    for url, pair in (("http://a", A), ("http://b", B), ("http://c", C)):
        network.add(url, [pair])
    return network


@pytest.fixture
def routes(network: ManagerNetwork) -> ClientRoutes:
    return routes_of(network.managers["http://a"])


Connect = Callable[[Callable[[httpx.Request], httpx.Response]], HttpTransactionManager]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A node's client whose requests a function answers."""
    made: list[HttpTransactionManager] = []
    real = httpx.Client

    def connected(answer: Callable[[httpx.Request], httpx.Response]) -> HttpTransactionManager:
        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(httpx, "Client", lambda **settings: real(**{**settings, "transport": transport}))
        made.append(HttpTransactionManager("http://localhost:8888", token="a token"))
        return made[-1]

    yield connected
    for client in made:
        client.close()


def served_by(routes: ClientRoutes) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.url.raw_path.decode(), headers, request.read(), client="127.0.0.1")
        found = routes.answer_head(asked) or trio.run(routes.answer, asked)
        return httpx.Response(found.status, content=found.body, headers=list(found.headers))

    return answer


class Endless(httpx.SyncByteStream):
    """The body of an answer that has `piece` again and again."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self.piece


class TestTheNodesSide:
    def test_payloads_and_groups_go_to_and_fro(self, network: ManagerNetwork, connect: Connect) -> None:
        a, b = (
            connect(served_by(routes_of(network.managers[url], token="a token"))) for url in ("http://a", "http://b")
        )
        assert a.is_up()
        key = a.send(SECRET, A.public, [B.public])
        received = b.receive(key, B.public)
        assert (received.payload, received.sender) == (SECRET, A.public)
        group = a.create_group([A.public, B.public], A.public, "a name", "a text", b"seed")
        assert (group.name, group.description) == ("a name", "a text")
        assert b.retrieve_group(group.id) == group
        assert group in b.find_groups([B.public, A.public])
        assert b.receive(a.send_to_group(SECRET, A.public, group.id)).group_id == group.id
        assert b.widened_members([A.public], group.id) is None, "it is no group of a payload's own members"
        assert b.widened_members([A.public], received.group_id) is None, "a received payload stores no group"
        assert a.delete_group(group.id, A.public) == group.id
        with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
            a.retrieve_group(group.id)
        assert a.widened_members([A.public], group.id) is None

    def test_errors_keep_the_managers_code(self, network: ManagerNetwork, connect: Connect) -> None:
        a = connect(served_by(routes_of(network.managers["http://a"], token="a token")))
        with pytest.raises(EnclaveError, match=r"^EnclavePayloadNotFound$"):
            a.receive(bytes(32))
        with pytest.raises(EnclaveError, match=r"^NodeMissingPeerUrl$"):
            a.send(SECRET, A.public, [STRANGER.public])
        with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
            a.send_to_group(SECRET, A.public, bytes(32))

    def test_a_wrong_token_is_a_manager_that_is_not_up(self, network: ManagerNetwork, connect: Connect) -> None:
        assert not connect(served_by(routes_of(network.managers["http://a"], token="another token"))).is_up()

    def test_no_answer_is_told_once_with_its_kind_alone(
        self, connect: Connect, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def down(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError(f"with {SECRET!r} in it")

        client = connect(down)
        for _ in range(3):
            with pytest.raises(
                EnclaveUnreachableError, match=r"^the transaction manager does not answer: ConnectError$"
            ):
                client.send(SECRET, A.public, [])
        assert capsys.readouterr().out.count("does not answer") + caplog.text.count("does not answer") == 1

    @pytest.mark.parametrize(
        "body",
        [b"", b"[", b"[]", b"{}", b'{"key": 5}', b'{"key": "c2hvcnQ="}'],
        ids=["empty", "cut", "list", "no key", "number", "short"],
    )
    def test_an_answer_of_another_form_is_no_answer(self, connect: Connect, body: bytes) -> None:
        client = connect(lambda request: httpx.Response(200, content=body))
        with pytest.raises(EnclaveUnreachableError, match="answers what it should not"):
            client.send(SECRET, A.public, [B.public])

    @pytest.mark.parametrize(
        "group",
        [
            {"privacyGroupId": to_base64(bytes(32)), "type": "PANTHEON", "members": "all"},
            {"privacyGroupId": to_base64(bytes(32)), "type": "OTHER", "members": []},
            {"privacyGroupId": "c2hvcnQ=", "type": "LEGACY", "members": []},
            {"privacyGroupId": to_base64(bytes(32)), "type": "LEGACY", "members": ["c2hvcnQ="]},
            [],
        ],
        ids=["members", "type", "id", "member", "list"],
    )
    def test_a_group_of_another_form_is_no_answer(self, connect: Connect, group: object) -> None:
        client = connect(lambda request: httpx.Response(200, content=json.dumps(group)))
        with pytest.raises(EnclaveUnreachableError, match="answers what it should not"):
            client.retrieve_group(bytes(32))
        with pytest.raises(EnclaveUnreachableError, match="answers what it should not"):
            connect(lambda request: httpx.Response(200, content=b"{}")).find_groups([A.public])

    def test_an_answer_without_end_is_cut(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_manager, "MAX_CLIENT_ANSWER_BYTES", 1000)
        client = connect(lambda request: httpx.Response(200, content=bytes(1001)))
        with pytest.raises(EnclaveUnreachableError, match="answer of at most 1000 bytes"):
            client.receive(bytes(32))

    def test_a_packed_answer_is_not_unpacked(self, connect: Connect) -> None:
        unpacked = [0]

        class Packed(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                unpacked[0] += 1
                yield gzip.compress(gzip.compress(bytes(1000)))

        for encoding in ("gzip", "gzip, gzip", "deflate", "identity, gzip"):
            head = {"content-encoding": encoding}
            client = connect(lambda request, head=head: httpx.Response(200, headers=head, stream=Packed()))  # type: ignore[misc]
            with pytest.raises(EnclaveUnreachableError, match="answer without compression"):
                client.receive(bytes(32))
        assert unpacked == [0]

    def test_an_answer_that_comes_in_crumbs_is_left(self, connect: Connect) -> None:
        client = connect(lambda request: httpx.Response(200, stream=Endless(b"a")))
        with pytest.raises(EnclaveUnreachableError, match="answer in at most 256 pieces"):
            client.receive(bytes(32))

    @pytest.mark.parametrize(
        ("call", "values"),
        [
            (lambda client: client.send(SECRET, A.public, []), 10_000),
            (lambda client: client.receive(bytes(32)), 10_000),
            (lambda client: client.delete_group(bytes(32), A.public), 10_000),
            (lambda client: client.find_groups([A.public]), 300_000),
            (lambda client: client.retrieve_group(bytes(32)), 300_000),
        ],
        ids=["send", "receive", "delete", "find", "retrieve"],
    )
    def test_an_answer_with_too_many_values_is_not_parsed(
        self,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
        call: Callable[[HttpTransactionManager], object],
        values: int,
    ) -> None:
        """32 MiB of empty lists take 0.8 GB, and no other thread runs for a second."""

        def parsed(data: bytes) -> object:
            raise AssertionError("it was parsed")

        monkeypatch.setattr(orjson, "loads", parsed)
        client = connect(lambda request: httpx.Response(200, content=b"[" + b",".join([b"[]"] * values) + b"]"))
        with pytest.raises(EnclaveUnreachableError, match=r"answers what it should not: at most \d+ values"):
            call(client)

    def test_a_group_may_have_any_text(self, connect: Connect) -> None:
        text = "[{,]}" * 13_000
        answer = {"privacyGroupId": to_base64(bytes(32)), "type": "PANTHEON", "members": [], "name": text}
        client = connect(lambda request: httpx.Response(200, content=json.dumps({**answer, "description": text})))
        assert client.retrieve_group(bytes(32)).description == text

    @pytest.mark.parametrize("form", ['{"error": "%s"}', "%s"], ids=["Orion", "Tessera"])
    def test_a_long_error_is_cut(self, connect: Connect, form: str) -> None:
        client = connect(lambda request: httpx.Response(500, content=form % ("no " * 5_000)))
        with pytest.raises(EnclaveError) as refused:
            client.send(SECRET, A.public, [B.public])
        assert refused.value.code == ("no " * 5_000)[:200]

    def test_an_error_without_end_is_an_error(self, connect: Connect) -> None:
        client = connect(lambda request: httpx.Response(500, stream=Endless(b"no " * 1_000)))
        with pytest.raises(EnclaveError, match=r"^no no"):
            client.receive(bytes(32))

    def test_an_orion_before_1_6_is_named(self, connect: Connect) -> None:
        client = connect(lambda request: httpx.Response(200, content=b'{"payload": "aGk="}'))
        with pytest.raises(EnclaveError, match="Incompatible Orion version"):
            client.receive(bytes(32))

    def test_a_payload_that_is_not_base64_is_no_answer(self, connect: Connect) -> None:
        answer = {"payload": "?", "senderKey": to_base64(A.public), "privacyGroupId": to_base64(bytes(32))}
        client = connect(lambda request: httpx.Response(200, content=json.dumps(answer)))
        with pytest.raises(EnclaveUnreachableError, match="payload was expected"):
            client.receive(bytes(32))


class TestTheManagersSide:
    def test_what_it_tells_about_itself(self, routes: ClientRoutes) -> None:
        assert ask(routes, "GET", "/upcheck").body == b"I'm up!"
        assert ask(routes, "GET", "/version?x=y").body == b"lacnode test"
        assert ask(routes, "GET", "/peercount").body == b"3"
        nodes = json.loads(ask(routes, "GET", "/knownnodes").body)
        assert {node["publicKey"] for node in nodes} == {to_base64(B.public), to_base64(C.public)}

    @pytest.mark.parametrize("body", [b"[", b"[1]", b'{"unknown":1}', b'{"payload":5,"from":null}', b"[" * 100_000])
    def test_a_body_of_another_form_is_refused(self, routes: ClientRoutes, body: bytes) -> None:
        answer = ask(routes, "POST", "/send", body, content_type="application/json")
        assert answer.status == 500
        assert json.loads(answer.body)["error"] in ("ObjectJsonDeserialization", "InvalidPayload")

    @pytest.mark.parametrize(
        ("path", "fields", "status", "code"),
        [
            ("/send", {"payload": "aGk=", "from": "c2hvcnQ=", "to": []}, 500, "EnclaveDecodePublicKey"),
            ("/send", {"payload": "aGk=", "to": ["not base64"]}, 500, "EnclaveDecodePublicKey"),
            ("/send", {"payload": "aGk=", "to": "all"}, 500, "ObjectJsonDeserialization"),
            ("/send", {"payload": "?", "from": to_base64(A.public)}, 500, "ObjectJsonDeserialization"),
            ("/send", {"payload": "aGk=", "privacyGroupId": "c2hvcnQ="}, 500, "PrivacyGroupNotFound"),
            ("/receive", {"key": "c2hvcnQ="}, 404, "EnclavePayloadNotFound"),
            ("/createPrivacyGroup", {"addresses": []}, 500, "CreateGroupInvalidParams"),
            ("/deletePrivacyGroup", {"privacyGroupId": "c2hvcnQ="}, 500, "PrivacyGroupNotDeleted"),
            ("/retrievePrivacyGroup", {}, 400, "PrivacyGroupNotFound"),
            ("/retrievePrivacyGroup", {"privacyGroupId": to_base64(bytes(32))}, 404, "PrivacyGroupNotFound"),
        ],
    )
    def test_a_wrong_field_has_orions_status_and_code(
        self, routes: ClientRoutes, path: str, fields: dict[str, object], status: int, code: str
    ) -> None:
        answer = ask(routes, "POST", path, json.dumps(fields).encode(), content_type="application/json; charset=utf-8")
        assert (answer.status, json.loads(answer.body)) == (status, {"error": code})

    def test_raw_payloads_go_without_json(self, network: ManagerNetwork, routes: ClientRoutes) -> None:
        sent = ask(
            routes, "POST", "/sendraw", SECRET, c11n_from=to_base64(A.public), c11n_to=f" {to_base64(B.public)} ,",
            content_type="application/octet-stream",
        )  # fmt: skip
        b = routes_of(network.managers["http://b"])
        read = ask(b, "POST", "/receiveraw", c11n_key=sent.body.decode(), content_type="application/octet-stream")
        assert read.body == SECRET
        for wrong in (to_base64(bytes(32)), "c2hvcnQ="):
            refused = ask(b, "POST", "/receiveraw", c11n_key=wrong, content_type="application/octet-stream")
            assert (refused.status, json.loads(refused.body)) == (404, {"error": "EnclavePayloadNotFound"})

    def test_a_supervisor_is_a_member_of_the_group(self, network: ManagerNetwork, routes: ClientRoutes) -> None:
        fields = {
            "addresses": [to_base64(A.public), to_base64(B.public)],
            "from": to_base64(A.public),
            "mandatoryRecipient": to_base64(C.public),
        }
        created = ask(
            routes, "POST", "/createPrivacyGroup", json.dumps(fields).encode(), content_type="application/json"
        )
        assert set(json.loads(created.body)["members"]) == {to_base64(key.public) for key in (A, B, C)}

    def test_a_path_or_a_type_that_it_does_not_know(self, routes: ClientRoutes) -> None:
        for method, path, kind in (
            ("GET", "/send", ""), ("POST", "/send", ORION), ("POST", "/push", "application/json"), ("PUT", "/send", ""),
        ):  # fmt: skip
            assert ask(routes, method, path, content_type=kind).status == 404
        assert trio.run(routes.answer, Request("PUT", "/send", {})).status == 404

    @pytest.mark.parametrize(
        ("host", "status"),
        [("localhost", 200), ("127.0.0.1:8888", 200), ("[::1]", 200), ("evil.example", 403), ("", 403)],
    )
    def test_a_page_of_another_name_is_refused(self, routes: ClientRoutes, host: str, status: int) -> None:
        assert ask(routes, "GET", "/upcheck", host=host).status == status

    @pytest.mark.parametrize(("client", "status"), [("10.1.2.3", 200), ("10.2.0.1", 403), ("::1", 403), ("unix", 403)])
    def test_clients_of_other_networks_are_refused(self, network: ManagerNetwork, client: str, status: int) -> None:
        routes = routes_of(network.managers["http://a"], any_host=True, networks=[ip_network("10.1.0.0/16")])
        request = Request("GET", "/upcheck", {"host": "manager.example"}, client=client)
        refused = routes.answer_head(request)
        assert (200 if refused is None else refused.status) == status

    def test_a_token_is_asked_for(self, network: ManagerNetwork) -> None:
        routes = routes_of(network.managers["http://a"], token="a token")
        for header, status in (("Bearer a token", 200), ("Bearer another", 401), ("", 401), ("Bearer \xff", 401)):
            assert ask(routes, "GET", "/upcheck", authorization=header).status == status
