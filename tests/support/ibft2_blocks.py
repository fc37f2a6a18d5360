"""Blocks and messages of IBFT 2.0 as tests make them: the functions of the core with this protocol."""

from lacnode.consensus.bft import blocks, payload_signing
from lacnode.consensus.bft.payloads import Payload, RoundId, SignedPayload
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.ibft2.messages import Ibft2Envelope
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.crypto.node_identity import Signer
from lacnode.crypto.secp256k1 import CURVE_ORDER
from lacnode.p2p.supported_capabilities import ETH_CAPABILITIES
from lacnode.p2p.wire.capabilities import Capability
from lacnode.primitives.block import Block

CAPABILITIES = (*ETH_CAPABILITIES, Capability("IBF", 1))
"""Those of a node whose chain has IBFT 2.0."""

IBFT2_ONLY = ProtocolSchedule(((0, IBFT2),))
"""The protocols of a chain that has IBFT 2.0 from its first block on."""


def with_round(block: Block, round_: int) -> Block:
    return blocks.with_round(IBFT2, block, round_)


def with_seals(block: Block, seals: tuple[bytes, ...]) -> Block:
    return blocks.with_seals(IBFT2, block, seals)


def sign_payload(payload: Payload, signer: Signer) -> SignedPayload[Payload]:
    return payload_signing.sign_payload(IBFT2, payload, signer)


def decode_envelope(code: int, data: bytes) -> tuple[RoundId, bytes]:
    """The height and round of a message, and the address (20 bytes) of its author. Raises RlpError if it is malformed."""
    envelope = Ibft2Envelope.split(code, data)
    return envelope.round_id, envelope.author


def high_s(signature: bytes) -> bytes:
    """The other signature with the same signer."""
    s = CURVE_ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([1 - signature[64]])
