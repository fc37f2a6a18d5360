"""A signed proposal of QBFT that is decoded step by step.

The author signs the whole block. So the author is recovered from the encoded payload: to decode a block of megabytes first
would cost the same for every peer that sends one, also for one that is no validator.
"""

from dataclasses import dataclass
from functools import cached_property

from lacnode.consensus.bft.message_parts import decode_header_only, split_into_items
from lacnode.consensus.bft.message_signatures import check_signature_form, recover_signer
from lacnode.consensus.bft.payloads import AuthorFilter, MessageKind, ProposalPayload, RoundId, SignedPayload
from lacnode.consensus.bft.unsigned_content import BodyMismatchError, check_body_matches
from lacnode.consensus.qbft.block_hash import committed_seal_hash
from lacnode.consensus.qbft.extra_data import decode_extra_data
from lacnode.consensus.qbft.payloads import decode_round_id, signature_hash_of_encoded
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError, RlpFields

_NAME = "proposalPayload"


@dataclass(frozen=True)
class EncodedProposal:
    """The signed payload of a proposal: round and block. Nothing of it is decoded but the signature (65 bytes). The
    justification of the proposal is not a part of it."""

    payload: bytes
    items: tuple[bytes, ...]
    """The encoded items of the payload: sequence, round and block."""
    signature: bytes

    @classmethod
    def split(cls, encoded: bytes) -> "EncodedProposal":
        """Cut the RLP `encoded` of a signed payload into its items, without decoding them. Raises RlpError if it is not
        a payload with a signature.
        """
        signed = split_into_items(encoded, f"signed {_NAME}")
        if len(signed) != 2:
            raise RlpError(f"signed {_NAME}: 2 items were expected, found {len(signed)}")
        signature = rlp.as_bytes(rlp.decode(signed[1]), "signature")
        return cls(signed[0], tuple(split_into_items(signed[0], _NAME)), check_signature_form(signature))

    @property
    def round_id(self) -> RoundId:
        """The height and the round. Raises RlpError if they are malformed."""
        return decode_round_id(RlpFields([rlp.decode(item) for item in self.items[:2]], _NAME))

    @cached_property
    def author(self) -> bytes:
        """The address (20 bytes) that signed. Raises RlpError if it cannot be recovered."""
        # Kept, because a message is asked for it before it is decoded, and the hash covers megabytes.
        return recover_signer(signature_hash_of_encoded(MessageKind.PROPOSAL, self.payload), self.signature)

    def decode_without_body(self, known: AuthorFilter) -> SignedPayload[ProposalPayload]:
        """Decode all but the body of the block. Raises RlpError if what is decoded is malformed or not signed by a
        `known` author, or if the block has seals already."""
        author = self.author
        if not known(author):
            raise RlpError(f"{_NAME}: signed by 0x{author.hex()}, no validator here")
        if len(self.items) != 3:
            raise RlpError(f"{_NAME}: 3 items were expected, found {len(self.items)}")
        block = Block.from_item_without_body(decode_header_only(self.items[2]))
        # The signature covers the seals. So the author is to blame, and not the peer that relays the message.
        if decode_extra_data(block.header.extra_data).seals:
            raise RlpError(f"{_NAME}.block: a proposed block has no seals yet")
        payload = ProposalPayload(self.round_id, committed_seal_hash(block.header), block)
        return SignedPayload(payload, self.signature, author)

    def add_decoded_body(self, block: Block) -> Block:
        """The block with its body. `block` is the one of `decode_without_body`. Raises RlpError if the body is malformed
        or does not fit the header."""
        whole = block.with_body_from_item(rlp.decode(self.items[2]))
        # The signature covers the body. So the author is to blame, and not the peer that relays the message.
        try:
            check_body_matches(whole)
        except BodyMismatchError as mismatch:
            raise RlpError(f"{_NAME}.block: {mismatch}") from None
        return whole
