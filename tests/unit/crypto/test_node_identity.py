"""A key that is not in this process is enough for everything that a node does with its key."""

import os

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.discv4 import FindNode, decode_packet, encode_packet
from lacnode.p2p.wire.ecies import open_sealed, seal
from lacnode.p2p.wire.enr import NodeRecord
from lacnode.p2p.wire.handshake import Initiator, Responder

KEY, OTHER = NodeKey.generate(), NodeKey.generate()


class HsmIdentity:
    """As much of a key as an HSM shows. It has no private key that a module could read."""

    public_key = KEY.public_key
    address = KEY.address

    def sign(self, digest: bytes) -> bytes:
        return KEY.sign(digest)

    def agree(self, public_key: bytes) -> bytes:
        return KEY.agree(public_key)


IDENTITY: NodeIdentity = HsmIdentity()


def test_the_rlpx_handshake_in_both_directions() -> None:
    for initiator_key, responder_key in ((IDENTITY, OTHER), (OTHER, IDENTITY)):
        initiator = Initiator(initiator_key, responder_key.public_key, random_bytes=os.urandom)
        responder = Responder(responder_key, random_bytes=os.urandom)
        ack = responder.receive(initiator.auth)
        assert ack is not None
        initiator.receive(ack)
        assert responder.remote_id == initiator_key.public_key
        assert initiator.secrets is not None
        assert responder.secrets is not None
        assert initiator.secrets.aes_secret == responder.secrets.aes_secret


def test_a_discovery_packet_and_a_node_record_name_the_key() -> None:
    assert decode_packet(encode_packet(FindNode(bytes(64), 2**33), IDENTITY)).node_id == KEY.public_key
    record = NodeRecord.sign(IDENTITY, 1, {})
    assert NodeRecord.decode(record.encode()).node_id == KEY.public_key


def test_a_sealed_message_is_opened() -> None:
    assert open_sealed(seal(b"text", KEY.public_key, b"", os.urandom), IDENTITY, b"") == b"text"
