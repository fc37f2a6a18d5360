"""Frames recorded from Besu's peers, and the base protocol's and eth/66's messages of the LACChain networks."""

import json
from pathlib import Path
from typing import Any

import cramjam
import pytest
import sha3

from lacnode.chainspec.forks import ForkId
from lacnode.p2p.wire.eth_messages import GetBlockHeaders, Status, decode_eth_message
from lacnode.p2p.wire.frame import Compression, FrameCodec
from lacnode.p2p.wire.handshake import Secrets
from lacnode.p2p.wire.p2p_messages import EMPTY_LIST, Disconnect, DisconnectReason, Hello
from lacnode.primitives.hexadecimal import from_hex, to_hex

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "rlpx-handshake.json"
if not VECTORS.exists():
    pytest.skip(f"the shared vectors are not beside the repository ({VECTORS.name})", allow_module_level=True)

DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
EXAMPLES: dict[str, dict[str, Any]] = {each["name"]: each for each in DOCUMENT["computed_examples"]["messages"]}


def codec(peer: dict[str, Any], *, egress: str, ingress: str) -> FrameCodec:
    states = {name: sha3.keccak_256(b"".join(map(from_hex, peer[name]))) for name in (egress, ingress)}
    return FrameCodec(
        Secrets(from_hex(peer["aes_secret"]), from_hex(peer["mac_secret"]), b"", states[egress], states[ingress])
    )


@pytest.mark.parametrize("peer", DOCUMENT["framing"], ids=lambda peer: peer["name"])
def test_frames_of_besus_peers(peer: dict[str, Any]) -> None:
    reader = codec(peer, egress="egress_mac_init", ingress="ingress_mac_init")
    wire = b"".join(from_hex(frame["wire"]) for frame in peer["frames"])
    received: list[tuple[int, str]] = []
    for frame in reader.feed(wire):
        if not received:
            assert Hello.decode(frame.body).compresses
            reader.enable_snappy()
        received.append((frame.message_id, to_hex(frame.body)))
    assert received == [(int(frame["message_id_byte"], 16) & 0x7F, frame["payload"]) for frame in peer["frames"]]


@pytest.mark.parametrize("peer", DOCUMENT["framing"], ids=lambda peer: peer["name"])
def test_the_same_messages_give_the_same_first_frame(peer: dict[str, Any]) -> None:
    writer = codec(peer, egress="ingress_mac_init", ingress="egress_mac_init")
    first = peer["frames"][0]
    assert to_hex(writer.encode(0, from_hex(first["payload"]))) == first["wire"]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example["name"])
def test_frame_data_of_examples(example: dict[str, Any]) -> None:
    """Snappy may compress one text in several ways: what counts is that it opens to the same."""
    data = from_hex(example["frame_data"])
    body = bytes(cramjam.snappy.decompress_raw(data[1:])) if example["compressed"] else data[1:]
    assert (data[0], to_hex(body)) == (example["message_id"], example["payload_rlp"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("disconnect_too_many_peers", DisconnectReason.TOO_MANY_PEERS),
        ("disconnect_unknown_reason_as_besu_sends_it", DisconnectReason.UNKNOWN),
    ],
)
def test_disconnect_examples(name: str, reason: DisconnectReason) -> None:
    body = from_hex(EXAMPLES[name]["payload_rlp"])
    assert Disconnect.decode(body) == Disconnect(reason)
    assert Disconnect(reason).encode() == body


def test_ping_and_pong_examples() -> None:
    assert from_hex(EXAMPLES["ping"]["payload_rlp"]) == from_hex(EXAMPLES["pong"]["payload_rlp"]) == EMPTY_LIST


@pytest.mark.parametrize(
    ("name", "network_id", "fork_id"),
    [
        ("mainnet_648541", 648541, ForkId(bytes.fromhex("d4c10651"), 0)),
        ("open_protestnet_648540", 648540, ForkId(bytes.fromhex("adecfbc9"), 0)),
        ("local_648550", 648550, ForkId(bytes.fromhex("8d8da2eb"), 0)),
        ("legacy_648529", 648529, ForkId(bytes.fromhex("dda7e872"), 37044085)),
    ],
)
def test_status_of_each_network(name: str, network_id: int, fork_id: ForkId) -> None:
    body = from_hex(EXAMPLES[f"eth66_status_at_genesis_{name}"]["payload_rlp"])
    status = decode_eth_message(66, Status.CODE, body)
    assert isinstance(status, Status)
    assert (status.version, status.network_id, status.total_difficulty) == (66, network_id, 1)
    assert status.best_hash == status.genesis_hash
    assert status.fork_id == fork_id
    assert status.encode(66) == body


def test_request_for_the_genesis_header() -> None:
    body = from_hex(EXAMPLES["eth66_get_block_headers_by_hash_reqid1_mainnet_genesis"]["payload_rlp"])
    genesis = bytes.fromhex("f7c3c99a9ccb707bb8db98aa446f5158beb02eeeb04a7a08af2fa63f89b437aa")
    request = GetBlockHeaders(request_id=1, start=genesis, limit=1)
    assert decode_eth_message(66, GetBlockHeaders.CODE, body) == request
    assert request.encode(66) == body


def test_a_plain_first_message_turns_compression_off_for_good() -> None:
    peer = DOCUMENT["framing"][0]
    sender = codec(peer, egress="egress_mac_init", ingress="ingress_mac_init")
    reader = codec(peer, egress="ingress_mac_init", ingress="egress_mac_init")
    reader.enable_snappy()
    plain = from_hex(EXAMPLES["disconnect_too_many_peers_before_hello_exchange"]["payload_rlp"]) + b"\0plain"
    plain = b"\x05" + plain
    assert [frame.body for frame in reader.feed(sender.encode(1, plain))] == [plain]
    assert reader.compression is Compression.ABANDONED
    assert [frame.body for frame in sender.feed(reader.encode(2, EMPTY_LIST))] == [EMPTY_LIST]
