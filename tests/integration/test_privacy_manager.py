"""Managers as real processes, over their real ports: good clients, hostile peers, a lost store."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.key_files import save_key_pair
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info, encode_orion_party_info
from lacnode.privacy.service.http_manager import HttpTransactionManager, parse_error_code
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from tests.support.devnet import until
from tests.support.managers import DEADLINE, OwnManager

SECRET = b"status of an authorised economic operator"
CBOR = {"content-type": "application/cbor"}


@pytest.fixture(scope="module")
def trio_of_managers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OwnManager]]:
    path = tmp_path_factory.mktemp("managers")
    managers: list[OwnManager] = []
    with ExitStack() as stack:
        for name in "abc":
            managers.append(OwnManager(path / name, [managers[0].node_url] if managers else []))
            stack.callback(managers[-1].stop)
        keys = [manager.key for manager in managers]
        for manager in managers:
            others = [key for key in keys if key != manager.key]
            until(lambda manager=manager, others=others: manager.knows(*others), "all know each other")  # type: ignore[misc]
        yield managers


@pytest.fixture
def clients(trio_of_managers: list[OwnManager]) -> Iterator[list[HttpTransactionManager]]:
    found = [HttpTransactionManager(manager.client_url) for manager in trio_of_managers]
    yield found
    for client in found:
        client.close()


class TestClientApi:
    def test_orions_acceptance_through_the_seam(
        self, trio_of_managers: list[OwnManager], clients: list[HttpTransactionManager]
    ) -> None:
        a, b, c = clients
        key_a, key_b, _ = (manager.key for manager in trio_of_managers)
        assert a.is_up()
        digest = a.send(SECRET, key_a, [key_b])
        assert (b.receive(digest).payload, b.receive(digest, key_b).sender) == (SECRET, key_a)
        with pytest.raises(EnclaveError, match=r"^EnclavePayloadNotFound$"):
            c.receive(digest)
        group = a.create_group([key_a, key_b], key_a, "name", "text", b"seed")
        assert b.retrieve_group(group.id) == group
        assert group in b.find_groups([key_b, key_a])
        assert a.receive(b.send_to_group(SECRET, key_b, group.id)).group_id == group.id
        assert b.delete_group(group.id, key_b) == group.id
        with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
            a.retrieve_group(group.id)
        with pytest.raises(EnclaveError, match=r"^NodeMissingPeerUrl$"):
            a.send(SECRET, key_a, [bytes(32)])

    def test_paths_types_and_error_bodies(self, trio_of_managers: list[OwnManager]) -> None:
        a, b, _ = trio_of_managers
        with httpx.Client(base_url=a.client_url) as http:
            assert http.get("/upcheck").text == "I'm up!"
            assert http.get("/peercount").text == "3"
            assert http.get("/version").text.startswith("lacnode ")
            assert http.post("/send", content=b"{}").status_code == 404
            assert http.post("/push", content=b"", headers=CBOR).status_code == 404
            for body in (b"[", b"[1]", b'{"unknown":1}', b'{"payload":5}', b"[" * 100_000):
                answer = http.post("/send", content=body, headers={"content-type": "application/json"})
                assert answer.status_code == 500
                assert answer.json()["error"] in ("ObjectJsonDeserialization", "InvalidPayload")
            missing = http.post("/receive", json={"key": to_base64(bytes(32))})
            assert (missing.status_code, missing.json()) == (404, {"error": "EnclavePayloadNotFound"})
            assert http.post("/retrievePrivacyGroup", json={}).status_code == 400
            wrong = http.post("/send", json={"payload": "aGk=", "from": "c2hvcnQ=", "to": []})
            assert (wrong.status_code, wrong.json()) == (500, {"error": "EnclaveDecodePublicKey"})
            for recipient, group, code in (
                ("c2hvcnQ=", None, "EnclaveDecodePublicKey"),
                ("not base64", None, "EnclaveDecodePublicKey"),
                (None, "", "PrivacyGroupNotFound"),
                (None, to_base64(bytes(32)), "PrivacyGroupNotFound"),
            ):
                fields = {"payload": "aGk=", "to": [recipient] if recipient else None, "privacyGroupId": group}
                wrong = http.post("/send", json=fields)
                assert (wrong.status_code, wrong.json()) == (500, {"error": code})
            headers = {"content-type": "application/octet-stream"}
            sent = http.post("/sendraw", content=SECRET, headers={**headers, "c11n-to": to_base64(b.key)})
            raw = httpx.post(f"{b.client_url}/receiveraw", headers={**headers, "c11n-key": sent.text})
            assert raw.content == SECRET

    def test_a_page_of_another_name_is_refused(self, trio_of_managers: list[OwnManager]) -> None:
        answer = httpx.get(f"{trio_of_managers[0].client_url}/upcheck", headers={"host": "evil.example"})
        assert answer.status_code == 403


class TestNodeApi:
    def test_garbage_truncated_and_strangers_payloads(self, trio_of_managers: list[OwnManager]) -> None:
        a, b, _ = trio_of_managers
        stranger = KeyPair.generate()
        for_another = encode_orion_payload(encrypt_payload(SECRET, stranger, [a.key], bytes(32)).with_boxes_at([0]))
        good = encode_orion_payload(encrypt_payload(SECRET, stranger, [b.key], bytes(32)).with_boxes_at([0]))
        with httpx.Client(base_url=b.node_url, headers=CBOR) as http:
            for body in (b"", b"\xff" * 50, good[:-1], good + b"\0", b"\x81" * 5000):
                assert http.post("/push", content=body).json() == {"error": "ObjectJsonDeserialization"}
            refused = http.post("/push", content=for_another)
            assert (refused.status_code, refused.json()["error"]) == (404, "EnclaveKeysCannotDecryptPayload")
            first, again = http.post("/push", content=good), http.post("/push", content=good)
            assert (first.status_code, first.text) == (again.status_code, again.text)
            assert http.get("/upcheck").text == "I'm up!"
            assert http.post("/send", content=b"{}").status_code == 404

    def test_too_much_is_refused_before_it_is_read(self, trio_of_managers: list[OwnManager]) -> None:
        with socket.create_connection(("127.0.0.1", trio_of_managers[1].node_port), DEADLINE) as peer:
            head = (
                "POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\nContent-Length: 999999999\r\n\r\n"
            )
            peer.sendall(head.encode())
            assert b" 413 " in peer.recv(1000)

    def test_party_info_answers_the_view_from_before(self, trio_of_managers: list[OwnManager]) -> None:
        a = trio_of_managers[0]
        stranger = KeyPair.generate()
        mine = PartyInfo("http://127.0.0.1:1", (), {stranger.public: "http://127.0.0.1:1", a.key: "http://evil"})
        before = decode_orion_party_info(
            httpx.post(f"{a.node_url}/partyinfo", content=encode_orion_party_info(mine), headers=CBOR).content
        )
        assert stranger.public not in before.keys
        after = decode_orion_party_info(
            httpx.post(f"{a.node_url}/partyinfo", content=encode_orion_party_info(mine), headers=CBOR).content
        )
        assert (after.keys[stranger.public], after.keys[a.key]) == ("http://127.0.0.1:1", a.node_url)
        with (
            HttpTransactionManager(a.client_url) as client,
            pytest.raises(EnclaveError, match="NodePropagatingToAllPeers"),
        ):
            client.send(SECRET, None, [stranger.public])


def test_tessera_579_a_member_that_lost_its_store_has_everything_back(
    trio_of_managers: list[OwnManager], clients: list[HttpTransactionManager], tmp_path: Path
) -> None:
    a, b, c = trio_of_managers
    client_a, client_b, _ = clients
    group = client_a.create_group([a.key, b.key], a.key, "kept")
    received = [client_a.send_to_group(SECRET + str(number).encode(), a.key, group.id) for number in range(70)]
    sent = client_b.send(b"from the one that will lose it", b.key, [c.key])
    foreign = client_a.send(b"of the others", a.key, [c.key])
    assert b.stop() == 0
    for file in b.path.glob("routerdb*"):
        file.unlink()
    assert not (b.path / "orion.ports").exists()
    b.start()

    def back() -> bool:
        try:
            return all(client_b.receive(key).payload.startswith(SECRET) for key in received) and bool(
                client_b.receive(sent)
            )
        except (EnclaveError, EnclaveUnreachableError):
            return False

    until(back, "payloads are back")
    assert client_b.receive(sent).payload == b"from the one that will lose it"
    assert client_b.retrieve_group(group.id) == group
    with pytest.raises(EnclaveError, match="EnclavePayloadNotFound"):
        client_b.receive(foreign)
    shutil.copytree(b.path, tmp_path / "b")
    held = b"".join(file.read_bytes() for file in (tmp_path / "b").iterdir())
    assert SECRET not in held
    assert b"from the one" not in held


def test_a_member_that_lost_its_store_has_a_payload_back_from_another_recipient_while_the_sender_is_gone(
    trio_of_managers: list[OwnManager], clients: list[HttpTransactionManager]
) -> None:
    a, b, c = trio_of_managers
    client_a, client_b, _ = clients
    key = client_a.send(SECRET, a.key, [b.key, c.key])
    assert a.stop() == b.stop() == 0
    try:
        for file in b.path.glob("routerdb*"):
            file.unlink()
        b.others = [a.node_url, c.node_url]
        b.start()

        def back() -> bool:
            try:
                return client_b.receive(key).payload == SECRET
            except (EnclaveError, EnclaveUnreachableError):
                return False

        until(back, "the payload is back")
        assert client_b.receive(key).sender == a.key
    finally:
        a.start()
        until(lambda: a.knows(b.key, c.key), "the sender knows the others")


def test_audit_export_names_who_what_whom_and_no_contents(trio_of_managers: list[OwnManager]) -> None:
    a, b, _ = trio_of_managers
    with HttpTransactionManager(a.client_url) as client:
        digest = client.send(SECRET, a.key, [b.key])
    words = [sys.executable, "-m", "lacnode", "privacy-manager", "audit", str(a.path / "orion.toml")]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    last = json.loads(output.splitlines()[-1])
    assert (last["event"], last["digest"], last["sender"]) == ("sent", to_base64(digest), to_base64(a.key))
    assert (last["recipients"], last["result"]) == ([to_base64(b.key)], "ok")
    assert SECRET.decode() not in output


class TestProcess:
    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lacnode", "privacy-manager", *words]
        settings = {**os.environ, **environment}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
            env=settings,
            stdin=subprocess.DEVNULL,
        )

    def test_mistakes_are_named(self, tmp_path: Path) -> None:
        config = tmp_path / "orion.toml"
        config.write_text('nodeport = "x"\nspeed = 1\n')
        result = self.run(str(config))
        assert result.returncode == 1
        assert "nodeport: int was expected" in result.stderr
        assert "speed: no such key" in result.stderr
        assert "publickeys" in self.run(ORION_WORKDIR=str(tmp_path)).stderr

    def test_keys_are_made_and_never_overwritten(self, tmp_path: Path) -> None:
        name = str(tmp_path / "made")
        assert self.run("-g", name).returncode == 0
        assert (tmp_path / "made.key").stat().st_mode & 0o777 == 0o600
        before = (tmp_path / "made.key").read_text()
        again = self.run("-g", name)
        assert again.returncode == 1
        assert "made.key cannot be written" in again.stderr
        assert (tmp_path / "made.key").read_text() == before

    def test_a_token_is_demanded(self, tmp_path: Path) -> None:
        save_key_pair(tmp_path / "k", KeyPair.generate())
        (tmp_path / "token").write_text("0123456789abcdef\n")
        settings = {
            "ORION_WORKDIR": str(tmp_path), "ORION_PUBLICKEYS": "k.pub", "ORION_PRIVATEKEYS": "k.key",
            "ORION_NODEPORT": "0", "ORION_CLIENTPORT": "0", "ORION_CLIENTTOKENFILE": "token", "ORION_STORAGE": "memory",
        }  # fmt: skip
        words = [sys.executable, "-m", "lacnode", "privacy-manager"]
        with subprocess.Popen(words, env={**os.environ, **settings}, stdout=subprocess.DEVNULL) as process:
            try:
                until((tmp_path / "orion.ports").exists, "orion.ports")
                port = (tmp_path / "orion.ports").read_text().split("http-client-port=")[1].strip()
                url = f"http://127.0.0.1:{port}"
                assert httpx.get(f"{url}/upcheck").status_code == 401
                with (
                    HttpTransactionManager(url, "wrong-wrong-wrong") as wrong,
                    HttpTransactionManager(url, "0123456789abcdef") as right,
                ):
                    assert not wrong.is_up()
                    assert right.is_up()
            finally:
                process.terminate()
            assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, b'{"error":"NodeMissingPeerUrl"}', "NodeMissingPeerUrl"),
        (404, b"Message with hash " + b"A" * 43 + b"= was not found", "EnclavePayloadNotFound"),
        (404, b"Recipient not found for key: " + b"A" * 43 + b"=", "Recipient not found for key:"),
        (404, b"Privacy group " + b"A" * 43 + b"= not found", "PrivacyGroupNotFound"),
        (403, b"The list of members in a privacy group should include self",
         "The list of members in a privacy group should include self"),
        (500, b"recipient not found in listed keys", "EnclaveKeysCannotDecryptPayload"),
        (410, b"", "NodePropagatingToAllPeers"),
        (502, b"", "HTTP status 502"),
    ],
)  # fmt: skip
def test_errors_of_orion_and_tessera(status: int, body: bytes, code: str) -> None:
    assert parse_error_code(status, body) == code


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with HttpTransactionManager(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
            assert not client.is_up()
            with pytest.raises(EnclaveUnreachableError):
                client.receive(bytes(32))
