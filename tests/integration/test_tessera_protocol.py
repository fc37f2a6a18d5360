"""Our manager as a process beside a stand-in for a Tessera on a real socket: it runs where no real one is at hand."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.peer_sender import PeerCall
from lacnode.privacy.manager.tessera.tessera_group import encode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import TesseraKeyChallenge
from lacnode.privacy.manager.tessera.tessera_party_info import decode_tessera_party_info, encode_tessera_party_info
from lacnode.privacy.manager.tessera.tessera_payload import encode_tessera_payload
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.transaction_manager import GroupType
from tests.support.devnet import until
from tests.support.fake_tessera import FakeTessera
from tests.support.managers import OwnManager

SECRET = b"certificate ES-0001 is suspended"
THEIRS = KeyPair.from_private_bytes(b"\2" * 32)
OCTETS = {"content-type": "application/octet-stream", "tesseraSupportedApiVersions": "2.1,3.0,v1,v2"}


class Handler(BaseHTTPRequestHandler):
    """Hands what it is sent to `tessera`."""

    tessera: FakeTessera

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        found = self.tessera.answer(PeerCall(self.command, "", self.path, body))
        self.send_response(404 if found is None else 201 if self.path == "/push" else 200)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def tessera() -> Iterator[FakeTessera]:
    class Bound(Handler):
        tessera = FakeTessera((THEIRS,), "")

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        Bound.tessera.at = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Bound.tessera
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def own(tessera: FakeTessera, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnManager]:
    manager = OwnManager(tmp_path_factory.mktemp("own") / "own", tesseras=[tessera.at])
    try:
        until(lambda: manager.knows(THEIRS.public), "our manager knows the Tessera's key")
        yield manager
    finally:
        manager.close()


def test_what_is_sent_reaches_the_tessera_and_what_is_lost_comes_back(own: OwnManager, tessera: FakeTessera) -> None:
    assert tessera.told == {own.key}
    with HttpTransactionManager(own.client_url) as client:
        key = client.send(SECRET, None, [THEIRS.public])
        group = client.create_group([own.key, THEIRS.public], own.key, "customs")
    assert [(payload.key, recipients) for payload, recipients in tessera.payloads] == [(key, (THEIRS.public,))]
    assert [record.id for record in tessera.groups] == [group.id]
    assert own.stop() == 0
    for file in own.path.glob("routerdb*"):
        file.unlink()
    own.start()
    with HttpTransactionManager(own.client_url) as client:
        asked = {"key": to_base64(key)}
        until(lambda: httpx.post(f"{own.client_url}/receive", json=asked).status_code == 200, "the payload is back")
        assert client.receive(key).payload == SECRET
    until(lambda: own.knows(THEIRS.public), "our manager knows the Tessera's key again")


def test_what_a_tessera_asks_and_pushes(own: OwnManager, tessera: FakeTessera) -> None:
    with httpx.Client(base_url=own.node_url, headers=OCTETS) as http:
        said = http.post("/partyinfo", content=encode_tessera_party_info(PartyInfo(tessera.at)))
        assert (said.status_code, decode_tessera_party_info(said.content)) == (200, PartyInfo(own.node_url))
        question = TesseraKeyChallenge(THEIRS, own.key)
        assert question.is_answered_by(http.post("/partyinfo/validate", content=question.body).content)

        record = GroupRecord((THEIRS.public, own.key), "customs", "", True, GroupType.PANTHEON, bytes(20))
        told = http.post("/pushPrivacyGroup", content=encode_tessera_group(record))
        assert (told.status_code, told.content) == (200, b"")
        payload = encrypt_payload(SECRET, THEIRS, [own.key], record.id).with_boxes_at([0])
        pushed = http.post("/push", content=encode_tessera_payload(payload, [own.key]))
        assert (pushed.status_code, pushed.text) == (201, to_base64(payload.key))
        with HttpTransactionManager(own.client_url) as client:
            received = client.receive(payload.key)
            assert (received.payload, received.sender, received.group_id) == (SECRET, THEIRS.public, record.id)
            assert client.retrieve_group(record.id) == record.group

        for path in ("/push", "/pushPrivacyGroup", "/partyinfo", "/partyinfo/validate"):
            refused = http.post(path, content=b"\0" * 100)
            assert refused.status_code >= 400, path
            assert refused.json() == {"error": "InvalidPayload"}, path
        assert http.post("/resend", content=b"{}").status_code == 404


def test_a_manager_without_tesseras_does_not_speak_to_them(tmp_path: Path) -> None:
    manager = OwnManager(tmp_path / "alone")
    try:
        for path in ("/push", "/partyinfo", "/partyinfo/validate"):
            assert httpx.post(f"{manager.node_url}{path}", content=b"x", headers=OCTETS).status_code == 404
    finally:
        manager.close()
