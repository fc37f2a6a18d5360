"""IBFT 2.0 as the core sees it."""

from collections.abc import Sequence

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.header_form import BESU_HEADERS
from lacnode.consensus.bft.messages import Justification, Message, MessageEnvelope, Proposal, RoundChange
from lacnode.consensus.bft.payloads import (
    MessageKind,
    Payload,
    PreparedCertificate,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock, best_certificate
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.ibft2.message_validation import (
    best_prepared,
    check_proposal,
    check_round_change,
)
from lacnode.consensus.ibft2.messages import (
    Ibft2Envelope,
    decode_round_change_certificate,
    encode_message,
    round_change_certificate_fields,
)
from lacnode.consensus.ibft2.payloads import (
    CODES,
    certificate_fields,
    decode_prepared_certificate,
    encode_payload,
    signature_hash,
)
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpItem, RlpValue


class Ibft2Codec:
    """The bytes of IBFT 2.0 (`bft.protocol.MessageCodec`)."""

    def code(self, kind: MessageKind) -> int:
        """The code of a message in the sub-protocol `IBF`, 0 to 3."""
        return CODES[kind]

    def open_message(self, code: int, data: bytes) -> MessageEnvelope:
        """Take a message apart: its code, and its bytes without the code. The signature is not looked at. Raises
        RlpError if the bytes cannot be a message of this code.
        """
        return Ibft2Envelope.split(code, data)

    def encode_message(self, message: Message) -> bytes:
        """Encode a message as RLP, without its code. Raises ValueError for a commit without its seal."""
        return encode_message(message)

    def encode_payload(self, payload: Payload) -> bytes:
        """Encode a payload as RLP, without its code. Raises ValueError for a commit without its seal."""
        return encode_payload(payload)

    def signature_hash(self, payload: Payload) -> bytes:
        """The hash (32 bytes) that the author of `payload` signs. Raises ValueError for a commit without its seal."""
        return signature_hash(payload)

    def stored_certificate_fields(self, certificate: PreparedCertificate) -> RlpValue:
        """The RLP items of a certificate, for the journal: its signed proposal and its signed prepares."""
        return certificate_fields(certificate)

    def decode_stored_certificate(self, item: RlpItem) -> PreparedCertificate:
        """The certificate that `stored_certificate_fields` wrote. Raises RlpError if the items are malformed."""
        return decode_prepared_certificate(item)

    def stored_justification_fields(self, justification: Justification) -> RlpValue:
        """The RLP item of a justification, for the journal: its signed round changes, an empty string for none."""
        return round_change_certificate_fields(justification)

    def decode_stored_justification(self, item: RlpItem) -> Justification:
        """The justification that `stored_justification_fields` wrote. Raises RlpError if the item is malformed."""
        return decode_round_change_certificate(item)


class Ibft2JustificationRules:
    """How certificates of IBFT 2.0 are made, and what they prove (`bft.protocol.JustificationRules`)."""

    def proposal_payload(self, round_id: RoundId, digest: bytes, block: Block) -> ProposalPayload:
        """The payload of a proposal with this `digest` (32 bytes). It leaves the block out."""
        # The signature covers the digest only. The block goes beside the payload.
        return ProposalPayload(round_id, digest)

    def round_change_payload(self, round_id: RoundId, prepared: PreparedBlock | None) -> RoundChangePayload:
        """The payload that asks for a round. It shows the certificate of `prepared`, unless that is None."""
        return RoundChangePayload(round_id, None if prepared is None else prepared.certificate)

    def round_change(self, signed: SignedPayload[RoundChangePayload], prepared: PreparedBlock | None) -> RoundChange:
        """The message with the signed payload. It has the block of `prepared`, unless that is None."""
        return RoundChange(signed, None if prepared is None else prepared.block)

    def justification(self, round_changes: Sequence[RoundChange]) -> Justification:
        """What justifies a proposal: the signed round changes, without their blocks."""
        # Without their blocks: the proposal carries the one block that counts.
        return Justification(tuple(message.signed for message in round_changes))

    def check_proposal(self, committee: Committee, proposal: Proposal) -> None:
        """Check that the author is the proposer of the round, that the block has the height, the round and the digest
        of the signed part, and the certificate. The caller has compared the height. The validity of the block is not
        checked. Raises MessageRefusedError."""
        check_proposal(committee, proposal)

    def check_round_change(self, committee: Committee, message: RoundChange) -> None:
        """Check author, height and round of a round change, and that its block and its proofs fit the prepared round
        that it shows. The validity of the block is not checked. Raises MessageRefusedError."""
        check_round_change(committee, message)

    def best_prepared(self, round_changes: Sequence[RoundChange]) -> PreparedBlock | None:
        """The block with the certificate of the highest prepared round, the first one if several have it. None if none
        is shown.
        """
        return best_prepared(round_changes)

    def proposes_new_block(self, proposal: Proposal) -> bool:
        """Whether no round change that justifies `proposal` shows a prepared block. True in round 0."""
        return best_certificate(proposal.justification.round_changes or ()) is None


class Ibft2Protocol:
    """IBFT 2.0, the sub-protocol `IBF/1` of Besu."""

    name = "ibft2"
    capability = ("IBF", 1)
    message_space = 4
    proposer_prepares = False
    first_round_waits_for_block = False
    checks_ommers_and_nonce = True
    can_be_validator = True
    headers = BESU_HEADERS

    def __init__(self) -> None:
        self.codec = Ibft2Codec()
        self.justifications = Ibft2JustificationRules()

    def encode_extra_data(self, extra: ExtraData) -> bytes:
        """Encode the RLP list of all five items, as in a header."""
        return encode_extra_data(extra)

    def decode_extra_data(self, data: bytes) -> ExtraData:
        """Decode the extra data of a header. Raises RlpError if it is not that of IBFT 2.0."""
        return decode_extra_data(data)

    def block_hash(self, header: BlockHeader) -> bytes:
        """The hash (32 bytes) of a block: of its header without round and seals. That of the genesis covers all its
        fields. Raises RlpError if the extra data of any other header is not that of IBFT 2.0.
        """
        return on_chain_hash(header)

    def round_in_proposal(self, round_: int, *, prefers_round_zero: bool) -> int:
        """Return `round_`, the round in the extra data of a proposed block. There is no other form."""
        # The digest of IBFT 2.0 always covers the round.
        return round_

    def committed_seal_hash(self, header: BlockHeader) -> bytes:
        """The digest (32 bytes) that messages name: the hash of the header with its round and without its seals. That
        of the genesis covers all its fields. Raises RlpError if the extra data of any other header is not that of IBFT
        2.0.
        """
        return committed_seal_hash(header)


IBFT2: BftProtocol = Ibft2Protocol()
