"""A real Tessera in orion mode behind our node: its client API as the node uses it, and private contracts between nodes."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair, to_text
from lacnode.privacy.private_transaction import private_contract_address
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.transaction_manager import GroupType, ManagerError
from tests.integration.devnet import Devnet, ask, running_devnet, until
from tests.integration.managers import TesseraManager, needs_tessera
from tests.private_nodes import ALICE, KEEPER, deploying, private

pytestmark = [needs_tessera, pytest.mark.xdist_group("tessera")]

SECRET = b"certificate ES-0001 is suspended"
"""One word of a contract's storage."""

WRITERS = ("writer-1", "writer-2")


@pytest.fixture(scope="module")
def tesseras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TesseraManager]]:
    """Two that know each other."""
    path = tmp_path_factory.mktemp("tesseras")
    with ExitStack() as stack:
        first = TesseraManager(path / "first")
        stack.callback(first.close)
        second = TesseraManager(path / "second", [first.node_url])
        stack.callback(second.close)
        until(lambda: first.knows(second.key) and second.knows(first.key), "Tesseras that know each other")
        yield [first, second]


class TestClientApi:
    @pytest.fixture
    def clients(self, tesseras: list[TesseraManager]) -> Iterator[list[HttpTransactionManager]]:
        with ExitStack() as stack:
            yield [stack.enter_context(HttpTransactionManager(tessera.client_url)) for tessera in tesseras]

    @pytest.fixture
    def keys(self, tesseras: list[TesseraManager]) -> list[bytes]:
        return [tessera.key for tessera in tesseras]

    def test_a_payload_is_every_partys_and_nobody_elses(
        self, clients: list[HttpTransactionManager], keys: list[bytes]
    ) -> None:
        a, b = clients
        assert a.is_up()
        key = a.send(SECRET, keys[0], [keys[1]])
        for client, to in ((a, None), (a, keys[0]), (b, None), (b, keys[1])):
            received = client.receive(key, to)
            assert (received.payload, received.sender, received.group_id) == (SECRET, keys[0], group_id(keys))
        own = a.send(SECRET, keys[0], [])
        assert a.receive(own).group_id == group_id(keys[:1])
        with pytest.raises(ManagerError, match=r"^EnclavePayloadNotFound$"):
            b.receive(own)
        with pytest.raises(ManagerError, match=r"^EnclaveKeysCannotDecryptPayload$"):
            b.receive(key, KeyPair.generate().public)

    def test_a_large_payload(self, clients: list[HttpTransactionManager], keys: list[bytes]) -> None:
        large = SECRET * 30_000
        assert clients[1].receive(clients[0].send(large, None, [keys[1]])).payload == large

    def test_groups_are_made_found_used_and_deleted(
        self, clients: list[HttpTransactionManager], keys: list[bytes]
    ) -> None:
        a, b = clients
        group = a.create_group(keys, keys[0], "customs", "two administrations", b"seed")
        assert (group.id, group.type) == (group_id(keys, b"seed"), GroupType.PANTHEON)
        assert (group.name, group.description, set(group.members)) == ("customs", "two administrations", set(keys))
        nameless = a.create_group(keys, keys[0])
        assert b.retrieve_group(group.id) == group
        assert {group.id, nameless.id} <= {found.id for found in b.find_groups(keys[::-1])}
        assert a.find_groups([*keys, KeyPair.generate().public]) == []
        received = a.receive(b.send_to_group(SECRET, keys[1], group.id))
        assert (received.payload, received.sender, received.group_id) == (SECRET, keys[1], group.id)
        assert b.delete_group(group.id, keys[1]) == group.id
        for client in clients:
            with pytest.raises(ManagerError, match=r"^PrivacyGroupNotFound$"):
                client.retrieve_group(group.id)
            with pytest.raises(ManagerError, match=r"^PrivacyGroupNotFound$"):
                client.send_to_group(SECRET, keys[0], group.id)

    def test_refusals(self, clients: list[HttpTransactionManager], keys: list[bytes]) -> None:
        a, stranger = clients[0], KeyPair.generate().public
        with pytest.raises(ManagerError, match=r"^Recipient not found for key:$"):
            a.send(SECRET, keys[0], [stranger])
        with pytest.raises(ManagerError, match=r"^Recipient not found for key:$"):
            a.create_group([keys[0], stranger], keys[0])
        with pytest.raises(ManagerError, match=r"^The list of members in a privacy group should include self$"):
            a.create_group([keys[1]], keys[0])
        with pytest.raises(ManagerError, match=r"^EnclavePayloadNotFound$"):
            a.receive(bytes(32))
        with pytest.raises(ManagerError, match=r"not found"):
            a.send(SECRET, keys[1], [keys[0]])


@pytest.fixture(scope="module")
def network(tesseras: list[TesseraManager], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A devnet whose writers 1 and 2 have each a Tessera in the place of the manager they began with."""
    options = ("--privacy", "--validators", "1", "--block-period", "0.5")
    with running_devnet(tmp_path_factory.mktemp("tessera") / "net", *options) as network:
        for name, tessera in zip(WRITERS, tesseras, strict=True):
            network.command("kill", name)
            give(network, name, tessera)
        network.command("start", *WRITERS)
        for name in WRITERS:
            until(lambda name=name: ask(network.url(name), "eth_chainId") is not None, f"{name} is up")  # type: ignore[misc]
        yield network


def give(network: Devnet, name: str, tessera: TesseraManager) -> None:
    """Have the node use `tessera` from its next start on."""
    file = network.path / "nodes" / name / "config.toml"
    left = ("privacy-public-key-file=", "privacy-manager-config-file=")
    kept = [line for line in file.read_text().splitlines() if not line.startswith(left)]
    told = {"privacy-public-key-file": str(tessera.key_file), "privacy-url": tessera.client_url}
    file.write_text("\n".join([*kept, *(f"{key}={json.dumps(value)}" for key, value in told.items())]) + "\n")


def sent(network: Devnet, name: str, nonce: int, **fields: Any) -> str:
    """The marker of a private transaction of Alice's."""
    url = network.url(name)
    raw = private(ALICE, nonce, chain_id=int(ask(url, "eth_chainId"), 16), **fields).raw
    body = {"jsonrpc": "2.0", "id": 1, "method": "eea_sendRawTransaction", "params": [to_hex(raw)]}
    answer = httpx.post(url, json=body, timeout=30).json()
    assert "error" not in answer, answer
    return str(answer["result"])


def executed(network: Devnet, name: str, marker: str) -> dict[str, Any]:
    """The private receipt, once there is one."""
    url = network.url(name)
    until(lambda: ask(url, "priv_getTransactionReceipt", marker) is not None, f"{marker} executed at {name}")
    found: dict[str, Any] = ask(url, "priv_getTransactionReceipt", marker)
    assert found["status"] == "0x1"
    return found


def test_two_nodes_with_tesseras_execute_one_private_contract(network: Devnet, tesseras: list[TesseraManager]) -> None:
    one, two = (tessera.key for tessera in tesseras)
    first = sent(network, WRITERS[0], 0, data=deploying(KEEPER), private_from=one, private_for=[two])
    receipts = [executed(network, name, first) for name in WRITERS]
    assert receipts[0] == receipts[1]
    contract = bytes.fromhex(receipts[0]["contractAddress"][2:])
    second = sent(network, WRITERS[1], 1, data=SECRET, to=contract, private_from=two, private_for=[one])
    assert executed(network, WRITERS[0], second) == executed(network, WRITERS[1], second)
    group = to_text(group_id([one, two]))
    for name in WRITERS:
        assert ask(network.url(name), "priv_call", group, {"to": to_hex(contract)}, "latest") == to_hex(SECRET)
    assert ask(network.url("writer-3"), "priv_getTransactionReceipt", first) is None


def test_nodes_with_tesseras_share_a_group_by_name(network: Devnet, tesseras: list[TesseraManager]) -> None:
    keys = [to_text(tessera.key) for tessera in tesseras]
    group = ask(network.url(WRITERS[0]), "priv_createPrivacyGroup", {"addresses": keys, "name": "customs"})
    assert group in [found["privacyGroupId"] for found in ask(network.url(WRITERS[1]), "priv_findPrivacyGroup", keys)]
    raw_group = base64.b64decode(group)
    marker = sent(network, WRITERS[1], 0, data=deploying(KEEPER), private_from=tesseras[1].key, group=raw_group)
    receipts = [executed(network, name, marker) for name in WRITERS]
    assert receipts[0] == receipts[1]
    assert receipts[0]["contractAddress"] == to_hex(private_contract_address(ALICE.address, 0, raw_group))
