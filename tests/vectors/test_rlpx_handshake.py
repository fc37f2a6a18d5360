"""The RLPx handshakes of EIP-8 and of Besu's own test, byte for byte."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import agree, public_key_of
from lacnode.p2p.wire.ecies import open_sealed
from lacnode.p2p.wire.frame import FrameCodec
from lacnode.p2p.wire.handshake import Ack, Auth, Initiator, Responder, Secrets, Transcript
from lacnode.p2p.wire.p2p_messages import Hello
from lacnode.primitives.hexadecimal import from_hex

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "rlpx-handshake.json"
if not VECTORS.exists():
    pytest.skip(f"the shared vectors are not beside the repository ({VECTORS.name})", allow_module_level=True)

DOCUMENT: dict[str, Any] = json.loads(VECTORS.read_text())
HANDSHAKES: list[dict[str, Any]] = DOCUMENT["handshakes"]
OLD_FORM = [handshake for handshake in HANDSHAKES if handshake["auth_len"] == 307]

each_handshake = pytest.mark.parametrize("vector", HANDSHAKES, ids=lambda vector: vector["name"])


def key(vector: dict[str, Any], name: str) -> NodeKey:
    return NodeKey.from_private_key(from_hex(vector[name]))


def opened(vector: dict[str, Any], packet: str, recipient: str) -> bytes:
    data = from_hex(vector[packet])
    prefix = b"" if vector in OLD_FORM else data[:2]
    return open_sealed(data[len(prefix) :], NodeKey.from_private_key(from_hex(vector[recipient])), prefix)


def recorded(*parts: bytes) -> Callable[[int], bytes]:
    """A random source that plays `parts` and then zeros, but for keys, which may not be zero."""
    queue = list(parts)

    def draw(size: int) -> bytes:
        return queue.pop(0) if queue else bytes(size - 1) + b"\1"

    return draw


def transcript(vector: dict[str, Any]) -> Transcript:
    return Transcript(
        agree(from_hex(vector["initiator_ephemeral_key"]), from_hex(vector["responder_ephemeral_pub"])),
        from_hex(vector["initiator_nonce"]),
        from_hex(vector["responder_nonce"]),
        from_hex(vector["auth"]),
        from_hex(vector["ack"]),
    )


def assert_secrets(secrets: Secrets | None, vector: dict[str, Any]) -> None:
    assert secrets is not None
    assert secrets.aes_secret == from_hex(vector["aes_secret"])
    assert secrets.mac_secret == from_hex(vector["mac_secret"])
    assert secrets.token == from_hex(vector["token"])


@each_handshake
class TestHandshake:
    def test_auth_opens_to_its_fields(self, vector: dict[str, Any]) -> None:
        plaintext = opened(vector, "auth", "responder_static_key")
        auth = Auth.from_plaintext(plaintext, is_pre_eip8=vector in OLD_FORM)
        shared = agree(from_hex(vector["responder_static_key"]), auth.public_key)
        assert plaintext.startswith(from_hex(vector["auth_plaintext"]))
        assert auth.public_key == from_hex(vector["initiator_static_pub"])
        assert auth.nonce == from_hex(vector["initiator_nonce"])
        assert shared == from_hex(vector["static_shared_secret"])
        assert auth.ephemeral_public_key(shared) == from_hex(vector["initiator_ephemeral_pub"])

    def test_ack_opens_to_its_fields(self, vector: dict[str, Any]) -> None:
        plaintext = opened(vector, "ack", "initiator_static_key")
        ack = Ack.from_plaintext(plaintext, is_pre_eip8=vector in OLD_FORM)
        assert plaintext.startswith(from_hex(vector["ack_plaintext"]))
        assert ack.ephemeral_public_key == from_hex(vector["responder_ephemeral_pub"])
        assert ack.nonce == from_hex(vector["responder_nonce"])

    def test_secrets_and_mac_states(self, vector: dict[str, Any]) -> None:
        ours, theirs = transcript(vector).secrets(initiator=True), transcript(vector).secrets(initiator=False)
        assert transcript(vector).ephemeral_shared == from_hex(vector["ephemeral_shared_secret"])
        assert_secrets(ours, vector)
        assert (
            ours.egress_mac.digest() == theirs.ingress_mac.digest() == from_hex(vector["initiator_egress_mac_digest"])
        )
        assert (
            ours.ingress_mac.digest() == theirs.egress_mac.digest() == from_hex(vector["initiator_ingress_mac_digest"])
        )

    def test_mac_after_foo(self, vector: dict[str, Any]) -> None:
        if "responder_ingress_mac_after_foo" not in vector:
            pytest.skip("the source gives no digest after 'foo'")
        state = transcript(vector).secrets(initiator=False).ingress_mac
        state.update(b"foo")
        assert state.digest() == from_hex(vector["responder_ingress_mac_after_foo"])

    def test_responder_answers_in_the_form_it_was_asked_in(self, vector: dict[str, Any]) -> None:
        source = recorded(from_hex(vector["responder_ephemeral_key"]), from_hex(vector["responder_nonce"]))
        responder = Responder(key(vector, "responder_static_key"), random_bytes=source)
        ack = responder.receive(from_hex(vector["auth"]))
        assert ack is not None
        assert responder.remote_id == from_hex(vector["initiator_static_pub"])
        assert_secrets(responder.secrets, vector)
        assert (len(ack) == 210) == (vector in OLD_FORM)

    def test_initiator_reads_the_ack_in_either_form(self, vector: dict[str, Any]) -> None:
        source = recorded(from_hex(vector["initiator_ephemeral_key"]), from_hex(vector["initiator_nonce"]))
        remote_id = public_key_of(from_hex(vector["responder_static_key"]))
        initiator = Initiator(key(vector, "initiator_static_key"), remote_id, random_bytes=source)
        ack = from_hex(vector["ack"])
        for byte in ack[:-1]:
            initiator.receive(bytes([byte]))
            assert initiator.secrets is None
        initiator.receive(ack[-1:] + b"first frame")
        assert_secrets(initiator.secrets, vector)
        assert initiator.leftover == b"first frame"
        assert initiator.secrets is not None
        assert initiator.secrets.ingress_mac.digest() == from_hex(vector["initiator_ingress_mac_digest"])


def test_first_frames_of_besus_handshake() -> None:
    vector = next(handshake for handshake in HANDSHAKES if "first_frame_from_initiator" in handshake)
    ours = FrameCodec(transcript(vector).secrets(initiator=True))
    theirs = FrameCodec(transcript(vector).secrets(initiator=False))
    for sender, receiver, name in (
        (ours, theirs, "first_frame_from_initiator"),
        (theirs, ours, "first_frame_from_responder"),
    ):
        data = from_hex(vector[name]["frame_data"])
        wire = sender.encode(0, data[1:])
        assert wire == from_hex(vector[name]["wire"])
        (frame,) = receiver.feed(wire)
        assert (frame.message_id, frame.body) == (0, data[1:])
        assert Hello.decode(frame.body).p2p_version == 3


def test_auth_plaintext_of_besus_initiator_message() -> None:
    vector = DOCUMENT["eip8_auth_plaintext_from_besu"]
    plaintext = from_hex(vector["plaintext_rlp"]) + bytes(vector["trailing_zero_padding_bytes"])
    auth = Auth.from_plaintext(plaintext, is_pre_eip8=False)
    shared = agree(from_hex(vector["responder_static_key"]), auth.public_key)
    assert auth.signature == from_hex(vector["signature_r_s_v"])
    assert auth.public_key == from_hex(vector["initiator_static_pub"])[-64:]
    assert auth.nonce == from_hex(vector["initiator_nonce"])
    assert shared == from_hex(vector["static_shared_secret"])
    assert auth.ephemeral_public_key(shared) == from_hex(vector["recovered_initiator_ephemeral_pub"])[-64:]
