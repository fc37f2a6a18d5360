"""QBFT as the core of consensus sees it: what `bft.protocol.BftProtocol` asks for."""

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
    allow_any_author,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock, best_certificate
from lacnode.consensus.qbft import block_hash, extra_data, message_validation, messages, payloads
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpFields, RlpItem, RlpValue


class QbftCodec:
    """The bytes of QBFT (`bft.protocol.MessageCodec`)."""

    def code(self, kind: MessageKind) -> int:
        """The code of a message in the sub-protocol `istanbul`, 0x12 to 0x15."""
        return payloads.CODES[kind]

    def open_message(self, code: int, data: bytes) -> MessageEnvelope:
        """Take a message apart: its code, and its bytes without the code. Who signed it is not looked at. Raises
        RlpError if the bytes cannot be a message of this code.
        """
        return messages.open_message(code, data)

    def encode_message(self, message: Message) -> bytes:
        """Encode a message as RLP, without its code. Raises ValueError for a commit without its seal, and for a
        proposal whose payload has no block.
        """
        return messages.encode_message(message)

    def encode_payload(self, payload: Payload) -> bytes:
        """Encode a payload as RLP, without its code. Raises ValueError for a commit without its seal, and for a
        proposal whose payload has no block.
        """
        return payloads.encode_payload(payload)

    def signature_hash(self, payload: Payload) -> bytes:
        """The hash (32 bytes) that the author of `payload` signs. Raises ValueError for a commit without its seal, and
        for a proposal whose payload has no block.
        """
        return payloads.signature_hash(payload)

    def stored_certificate_fields(self, certificate: PreparedCertificate) -> RlpValue:
        """The RLP items of a certificate, for the journal: round, digest (32 bytes), and a byte string that is the RLP
        of the list of signed prepares."""
        prepares = messages.encode_signed_list(certificate.prepares)
        return [rlp.encode_scalar(certificate.round), certificate.digest, prepares]

    def decode_stored_certificate(self, item: RlpItem) -> PreparedCertificate:
        """The certificate that `stored_certificate_fields` wrote. Raises RlpError if the items are malformed."""
        fields = RlpFields(rlp.as_list(item, "certificate"), "certificate")
        round_, digest = extra_data.check_round_number(fields.scalar("round", 4)), fields.bytes("digest", 32)
        proof = RlpFields([rlp.decode(fields.bytes("prepares"))], "certificate")
        fields.check_no_fields_left()
        return PreparedCertificate(round_, digest, payloads.decode_prepares(proof, allow_any_author))

    def stored_justification_fields(self, justification: Justification) -> RlpValue:
        """The RLP item of a justification, for the journal: a byte string that is the RLP of the lists of signed round
        changes and prepares."""
        return messages.encode_justification(justification)

    def decode_stored_justification(self, item: RlpItem) -> Justification:
        """The justification that `stored_justification_fields` wrote. Raises RlpError if the item is malformed."""
        encoded = rlp.as_bytes(item, "justification")
        return messages.decode_justification(rlp.decode_list(encoded, "justification"))


class QbftJustificationRules:
    """How the proofs of QBFT are made, and what they prove (`bft.protocol.JustificationRules`)."""

    def proposal_payload(self, round_id: RoundId, digest: bytes, block: Block) -> ProposalPayload:
        """The payload of a proposal with this `digest` (32 bytes). It has the block, too."""
        # The signature of a QBFT proposal covers its block.
        return ProposalPayload(round_id, digest, block)

    def round_change_payload(self, round_id: RoundId, prepared: PreparedBlock | None) -> RoundChangePayload:
        """The payload that asks for a round. It shows round and digest of `prepared`, unless that is None."""
        # Only round and digest are signed. The prepares go beside the signed part.
        certificate = None if prepared is None else PreparedCertificate(prepared.round, prepared.digest)
        return RoundChangePayload(round_id, certificate)

    def round_change(self, signed: SignedPayload[RoundChangePayload], prepared: PreparedBlock | None) -> RoundChange:
        """The message with the signed payload. It has the block of `prepared` and its prepares, unless that is None."""
        if prepared is None:
            return RoundChange(signed)
        return RoundChange(signed, prepared.block, prepared.certificate.prepares)

    def justification(self, round_changes: Sequence[RoundChange]) -> Justification:
        """What justifies a proposal: the signed round changes, without their blocks, and the prepares of the block
        prepared last.
        """
        best = message_validation.best_prepared(round_changes)
        # Only the prepares of the best block: the proposal carries the one block that counts.
        prepares = () if best is None else best.certificate.prepares
        return Justification(tuple(message.signed for message in round_changes), prepares)

    def check_proposal(self, committee: Committee, proposal: Proposal) -> None:
        """Check the signed payload, the height and the round of the block, and the justification, but not the validity
        and the creator of the block. Raises MessageRefusedError.
        """
        message_validation.check_proposal(committee, proposal)

    def check_round_change(self, committee: Committee, message: RoundChange) -> None:
        """Check author, height and round of a round change, and that its block and its proofs fit the prepared round
        that it shows. The validity of the block is not checked. Raises MessageRefusedError."""
        message_validation.check_round_change(committee, message)

    def best_prepared(self, round_changes: Sequence[RoundChange]) -> PreparedBlock | None:
        """The block with the certificate of the highest prepared round, the first one if several have it. None if none
        is shown.
        """
        return message_validation.best_prepared(round_changes)

    def proposes_new_block(self, proposal: Proposal) -> bool:
        """Whether no round change that justifies `proposal` shows a prepared block. True in round 0."""
        return best_certificate(proposal.justification.round_changes or ()) is None


class QbftProtocol:
    """QBFT (`bft.protocol.BftProtocol`). It has no state."""

    name = "qbft"
    capability = ("istanbul", 100)
    message_space = 0x16
    proposer_prepares = True
    first_round_waits_for_block = True
    checks_ommers_and_nonce = False
    can_be_validator = True
    headers = BESU_HEADERS
    codec = QbftCodec()
    justifications = QbftJustificationRules()

    def encode_extra_data(self, extra: ExtraData) -> bytes:
        """Encode the RLP list of all five items, as in a header."""
        return extra_data.encode_extra_data(extra)

    def decode_extra_data(self, data: bytes) -> ExtraData:
        """Decode the extra data of a header. Raises RlpError if it is not that of QBFT."""
        return extra_data.decode_extra_data(data)

    def block_hash(self, header: BlockHeader) -> bytes:
        """The hash (32 bytes) of a block: of its header with round 0 and without seals. That of the genesis covers all
        its fields. Raises RlpError if the extra data of any other header is not that of QBFT.
        """
        return block_hash.on_chain_hash(header)

    def round_in_proposal(self, round_: int, *, prefers_round_zero: bool) -> int:
        """The round in the extra data of a block that is proposed in `round_`: 0 with `prefers_round_zero`, otherwise
        `round_`.
        """
        # GoQuorum and Besu before 24.12 take the on-chain hash, which has round 0, for the digest in every round.
        return 0 if prefers_round_zero else round_

    def committed_seal_hash(self, header: BlockHeader) -> bytes:
        """The digest (32 bytes) that messages name: the hash of the header with its round and without its seals. That
        of the genesis covers all its fields. Raises RlpError if the extra data is not that of QBFT, also for the
        genesis.
        """
        return block_hash.committed_seal_hash(header)


QBFT = QbftProtocol()
