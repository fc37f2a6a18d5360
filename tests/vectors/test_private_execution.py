"""Besu's own acceptance story with its own keys, contract and addresses: EventEmitter between two members."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from tests.support.private_nodes import PrivateTestNetwork, private, word

FILE = Path(__file__).parents[3] / "shared" / "vectors" / "privacy.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}

pytestmark = pytest.mark.skipif(not VECTORS, reason=f"{FILE} is not here")

GROUP_ID = "DyAOiF/ynpc+JXa2YAGB0bCitSlOMNm+ShmB/7M6C4w="
STORE, VALUE = bytes.fromhex("6057361d"), "0x3fa4f245"


def transaction(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(case for case in VECTORS["private_transactions"] if case["name"] == name)
    return found


def public_key(name: str) -> bytes:
    text = next(pair["publicKey"] for pair in VECTORS["nacl_key_pairs"] if pair["name"] == name)
    return base64.b64decode(text)


@pytest.fixture
def deployer() -> NodeKey:
    return NodeKey.from_private_key(bytes.fromhex(transaction("group_create_chain1337")["privateKey"][2:]))


@pytest.fixture
def event_emitter() -> bytes:
    return bytes.fromhex(transaction("web3js_quorum_fixture_0")["payload"][2:])


def test_event_emitter(deployer: NodeKey, event_emitter: bytes) -> None:
    keys = (public_key("key1"), public_key("key2"), public_key("key3"))
    stage = PrivateTestNetwork(keys=keys)
    group: dict[str, Any] = {"private_from": keys[0], "private_for": [keys[1]]}

    def sent(nonce: int, to: bytes | None, data: bytes) -> tuple[Any, Any, Any]:
        raw = to_hex(private(deployer, nonce, to=to, data=data, **group).raw)
        marker = stage.a.node.call("eea_sendRawTransaction", raw)
        stage.mine()
        a, b, c = (member.node.call("priv_getTransactionReceipt", marker) for member in stage.members)
        return a, b, c

    addresses = []
    for nonce in range(2):
        a, b, c = sent(nonce, None, event_emitter)
        assert a == b
        assert c is None
        assert (a["status"], a["privacyGroupId"]) == ("0x1", GROUP_ID)
        addresses.append(a["contractAddress"])
    assert addresses == [
        "0xebf56429e6500e84442467292183d4d621359838",
        "0x10f807f8a905da5bd319196da7523c6bd768690f",
    ]
    first = bytes.fromhex(addresses[0][2:])
    a, b, c = sent(2, first, STORE + word(42))
    assert a == b
    assert c is None
    assert a["logs"][0]["address"] == addresses[0]
    call = {"to": addresses[0], "data": VALUE}
    assert stage.b.node.call("priv_call", GROUP_ID, call, "latest") == to_hex(word(42))
    assert stage.b.node.call("priv_call", GROUP_ID, {**call, "to": addresses[1]}, "latest") == to_hex(word(0))
    wrong = {"to": addresses[0], "data": "0x12345678"}
    assert stage.b.node.fails("priv_call", GROUP_ID, wrong, "latest") == (-50100, "Private transaction failed")
    code = stage.b.node.call("priv_getCode", GROUP_ID, addresses[0], "latest")
    assert isinstance(code, str)
    assert code[2:] in event_emitter.hex()


def test_a_node_outside_the_group_may_be_stopped(deployer: NodeKey, event_emitter: bytes) -> None:
    keys = (public_key("key1"), public_key("key2"), public_key("key3"))
    stage = PrivateTestNetwork(keys=keys)
    stage.c.manager.is_off = True
    addresses = []
    for nonce in range(2):
        group: dict[str, Any] = {"private_from": keys[0], "private_for": [keys[1]]}
        raw = to_hex(private(deployer, nonce, data=event_emitter, **group).raw)
        marker = stage.a.node.call("eea_sendRawTransaction", raw)
        stage.mine()
        a, b = (member.node.call("priv_getTransactionReceipt", marker) for member in (stage.a, stage.b))
        assert isinstance(a, dict)
        assert a == b
        addresses.append(a["contractAddress"])
    assert addresses == [
        "0xebf56429e6500e84442467292183d4d621359838",
        "0x10f807f8a905da5bd319196da7523c6bd768690f",
    ]


def test_members_of_two_groups_keep_them_apart(deployer: NodeKey, event_emitter: bytes) -> None:
    """Besu's `canInteractWithMultiplePrivacyGroups`."""
    a, b, c = keys = (public_key("key1"), public_key("key2"), public_key("besu_enclave_key_2"))
    stage = PrivateTestNetwork(keys=keys)

    def receipts(sender: int, recipients: list[bytes], key: NodeKey, to: bytes | None, data: bytes) -> list[Any]:
        parties: dict[str, Any] = {"private_from": keys[sender], "private_for": recipients}
        raw = to_hex(private(key, 0, to=to, data=data, **parties).raw)
        marker = stage.members[sender].node.call("eea_sendRawTransaction", raw)
        stage.mine()
        return [member.node.call("priv_getTransactionReceipt", marker) for member in stage.members]

    for_all = receipts(0, [b, c], deployer, None, event_emitter)
    assert [receipt["contractAddress"] for receipt in for_all] == ["0xff206d21150a8da5b83629d8a722f3135ed532b1"] * 3
    address = bytes.fromhex(for_all[0]["contractAddress"][2:])
    stored = receipts(2, [a, b], NodeKey.from_private_key(b"\x03" * 32), address, STORE + word(5))
    assert [(receipt["status"], len(receipt["logs"])) for receipt in stored] == [("0x1", 1)] * 3
    for_two = receipts(0, [b], deployer, None, event_emitter)
    assert [receipt and receipt["contractAddress"] for receipt in for_two] == [
        "0xebf56429e6500e84442467292183d4d621359838",
        "0xebf56429e6500e84442467292183d4d621359838",
        None,
    ]
    address = bytes.fromhex(for_two[0]["contractAddress"][2:])
    stored = receipts(1, [a], NodeKey.from_private_key(b"\x02" * 32), address, STORE + word(6))
    assert [receipt and receipt["status"] for receipt in stored] == ["0x1", "0x1", None]
