"""Besu's own acceptance story with its own keys, contract and addresses: EventEmitter between two members."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex
from tests.private_nodes import Stage, private, word

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
    return NodeKey.of(bytes.fromhex(transaction("group_create_chain1337")["privateKey"][2:]))


@pytest.fixture
def event_emitter() -> bytes:
    return bytes.fromhex(transaction("web3js_quorum_fixture_0")["payload"][2:])


def test_event_emitter(deployer: NodeKey, event_emitter: bytes) -> None:
    keys = (public_key("key1"), public_key("key2"), public_key("key3"))
    stage = Stage(keys=keys)
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
