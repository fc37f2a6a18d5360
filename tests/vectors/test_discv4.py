"""The discovery packets of EIP-8 and the node record of devp2p's specification, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.capabilities import Capability
from lacnode.p2p.wire.discv4 import Endpoint, FindNode, Message, Neighbors, Ping, Pong, decode_packet, encode_packet
from lacnode.p2p.wire.enr import NodeRecord
from lacnode.p2p.wire.p2p_messages import Hello
from lacnode.primitives.hexadecimal import from_hex
from lacnode.primitives.keccak import keccak256

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "discv4.json"
if not VECTORS.exists():
    pytest.skip(f"the shared vectors are not beside the repository ({VECTORS.name})", allow_module_level=True)

DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
PACKETS: dict[str, dict[str, Any]] = {packet["name"]: packet for packet in DOCUMENT["packets"]}
EXPIRATION = 0x43B9A355

EXPECTED: dict[str, Message] = {
    "ping4": Ping(Endpoint("127.0.0.1", 3322, 5544), Endpoint("::1", 2222, 3333), EXPIRATION, 1),
    "ping555": Ping(
        Endpoint("2001:db8:3c4d:15::abcd:ef12", 3322, 5544),
        Endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 2222, 33338),
        EXPIRATION,
    ),
    "pong": Pong(
        Endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 2222, 33338),
        bytes.fromhex("fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c954"),
        EXPIRATION,
    ),
    "findnode": FindNode(from_hex(DOCUMENT["signer_node_id"])[-64:], EXPIRATION),
}


@pytest.mark.parametrize("vector", PACKETS.values(), ids=PACKETS)
def test_packet_is_read_whatever_follows_it(vector: dict[str, Any]) -> None:
    packet = decode_packet(from_hex(vector["packet"]))
    assert packet.hash == from_hex(vector["hash"])
    assert packet.node_id == from_hex(DOCUMENT["signer_node_id"])[-64:]
    assert vector["type"] == packet.message.TYPE
    if vector["name"] in EXPECTED:
        assert packet.message == EXPECTED[vector["name"]]


def test_neighbors_of_both_address_families() -> None:
    neighbors = decode_packet(from_hex(PACKETS["neighbours"]["packet"])).message
    assert isinstance(neighbors, Neighbors)
    places = [(node.host, node.udp, node.tcp) for node in neighbors.nodes]
    assert places == [
        ("99.33.22.55", 4444, 4445),
        ("1.2.3.4", 1, 1),
        ("2001:db8:3c4d:15::abcd:ef12", 3333, 3333),
        ("2001:db8:85a3:8d3:1319:8a2e:370:7348", 999, 1000),
    ]
    assert [node.id for node in neighbors.nodes] == [from_hex(entry[3]) for entry in PACKETS["neighbours"]["data"][0]]


@pytest.mark.parametrize("name", EXPECTED)
def test_signature_is_that_of_the_signers_key(name: str) -> None:
    key = NodeKey.from_private_key(from_hex(DOCUMENT["signer_private_key"]))
    assert key.public_key == from_hex(DOCUMENT["signer_node_id"])[-64:]
    assert keccak256(key.public_key) == from_hex(DOCUMENT["signer_node_id_keccak"])
    packet = decode_packet(encode_packet(EXPECTED[name], key))
    assert (packet.node_id, packet.message) == (key.public_key, EXPECTED[name])


def test_hello_with_extra_elements() -> None:
    hello = Hello.decode(from_hex(DOCUMENT["hello_with_extra_elements"]["payload_rlp"]))
    assert (hello.p2p_version, hello.client_id, hello.listen_port) == (55, "kneth/v0.91/plan9", 9999)
    assert hello.capabilities == (Capability("eth", 61), Capability("mork", 22))


def test_node_record_of_the_specification() -> None:
    vector = DOCUMENT["enr"]
    key = NodeKey.from_private_key(from_hex(vector["private_key"]))
    record = NodeRecord.parse(vector["text"])
    assert record.encode() == from_hex(vector["record_rlp"])
    assert (record.seq, record.signature) == (vector["seq"], from_hex(vector["signature"]))
    assert {name.decode(): value for name, value in record.pairs} == {
        name: from_hex(value) for name, value in vector["pairs"].items()
    }
    assert keccak256(record.node_id) == from_hex(vector["node_address"])
    assert str(record) == vector["text"]
    assert NodeRecord.sign(key, 1, {b"ip": bytes([127, 0, 0, 1]), b"udp": (30303).to_bytes(2)}) == record
