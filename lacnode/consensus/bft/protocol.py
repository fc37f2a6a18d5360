"""What differs between the protocols of the BFT family: IBFT 1, IBFT 2.0 and QBFT.

The core asks the protocol of a height for bytes, hashes and proofs, and for the few steps that differ. A protocol is one
object for the whole process. It has no state. `lacnode/consensus/protocols.py` has the table of all protocols.
"""

from collections.abc import Sequence
from typing import Protocol

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.header_form import HeaderForm
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
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpItem, RlpValue


class MessageCodec(Protocol):
    """The bytes of messages on the wire, and of proofs in the journal (the `stored` methods). Decoding raises RlpError."""

    def code(self, kind: MessageKind) -> int:
        """The code of a message in the sub-protocol of devp2p."""

    def open_message(self, code: int, data: bytes) -> MessageEnvelope:
        """Take a message apart: `code` is its code in the sub-protocol, and `data` its bytes without the code. The
        signature and the authors are not looked at. Raises RlpError for malformed bytes, and for a code that no message
        has.
        """

    def encode_message(self, message: Message) -> bytes:
        """Encode a message without its code. Raises ValueError for a commit without its seal, and in QBFT for a proposal
        whose payload has no block."""

    def encode_payload(self, payload: Payload) -> bytes:
        """Encode a payload as RLP, without its code. The signature covers the code too (`signature_hash`). The journal
        compares round changes by these bytes. Raises ValueError for a commit without its seal, and in QBFT for a proposal
        payload without its block."""

    def signature_hash(self, payload: Payload) -> bytes:
        """The hash (32 bytes) that the author of `payload` signs. Raises ValueError for a commit without its seal, and in
        QBFT for a proposal payload without its block."""

    def stored_certificate_fields(self, certificate: PreparedCertificate) -> RlpValue:
        """The RLP items of a certificate as the journal stores it. Messages of IBFT 2.0 have the same form, those of
        QBFT have another."""

    def decode_stored_certificate(self, item: RlpItem) -> PreparedCertificate:
        """The certificate whose items in the journal `stored_certificate_fields` made. Raises RlpError for other items."""

    def stored_justification_fields(self, justification: Justification) -> RlpValue:
        """The RLP items of a justification as the journal stores it. Messages of IBFT 2.0 have the same form, those of
        QBFT have another."""

    def decode_stored_justification(self, item: RlpItem) -> Justification:
        """The justification whose items `stored_justification_fields` made. Raises RlpError for other items."""


class JustificationRules(Protocol):
    """The proofs that proposals and round changes carry: how to make them, and what they prove."""

    def proposal_payload(self, round_id: RoundId, digest: bytes, block: Block) -> ProposalPayload:
        """The payload of a proposal of `block`, which has this `digest` (32 bytes). It keeps the block if the signature
        covers it.
        """

    def round_change_payload(self, round_id: RoundId, prepared: PreparedBlock | None) -> RoundChangePayload:
        """The payload that asks for the round of `round_id` and shows `prepared`, the block of the highest prepared
        round. `prepared` is None if there is none.
        """

    def round_change(self, signed: SignedPayload[RoundChangePayload], prepared: PreparedBlock | None) -> RoundChange:
        """The message with the payload that `round_change_payload` made of `prepared`, with that block beside it.
        `prepared` is None if there is none.
        """

    def justification(self, round_changes: Sequence[RoundChange]) -> Justification:
        """What justifies a proposal in the round that a quorum asks for by `round_changes`."""

    def check_proposal(self, committee: Committee, proposal: Proposal) -> None:
        """Check that the author of a proposal is the proposer of its round, and check its justification, and its digest
        if that is signed beside the block. The caller has compared its height. The validity of its block and its
        creator are not checked. Raises MessageRefusedError."""

    def check_round_change(self, committee: Committee, message: RoundChange) -> None:
        """Check the author, the height and the round of a round change, and that its block and its proofs fit the
        prepared round that it shows. The validity of the block is not checked. Raises MessageRefusedError."""

    def best_prepared(self, round_changes: Sequence[RoundChange]) -> PreparedBlock | None:
        """The block of the highest prepared round, the first one if several have that round. None if none is shown."""

    def proposes_new_block(self, proposal: Proposal) -> bool:
        """Return True if no round change that justifies `proposal` shows a prepared block, as in round 0. The proposer must
        have created the block then."""


class BftProtocol(Protocol):
    """One protocol. All attributes are constants.

    `name` is its section in the genesis file. `capability` is the name and the version in devp2p, and `message_space` the
    number of codes. `proposer_prepares`: the proposer sends a prepare like all others, and a quorum of prepares is needed.
    `first_round_waits_for_block`: the timer of round 0 starts when the block is due, not with the height.
    `checks_ommers_and_nonce`: the header rules cover these two fields. `can_be_validator`: this node can be a validator of
    the protocol. Otherwise it only verifies and keeps the blocks. `headers` says where a header has its creator and its
    vote.
    """

    @property
    def name(self) -> str:
        """The name of its section in the genesis file."""

    @property
    def capability(self) -> tuple[str, int]:
        """The name and the version of its sub-protocol in devp2p."""

    @property
    def message_space(self) -> int:
        """The number of message codes that its sub-protocol takes in devp2p."""

    @property
    def proposer_prepares(self) -> bool:
        """Whether the proposer sends a prepare like all others, so that a quorum of prepares is needed."""

    @property
    def first_round_waits_for_block(self) -> bool:
        """Whether the timer of round 0 starts when the block is due, and not with the height."""

    @property
    def checks_ommers_and_nonce(self) -> bool:
        """Whether the header rules cover the ommers hash and the nonce."""

    @property
    def can_be_validator(self) -> bool:
        """Whether this node can be a validator of the protocol. If not, it only verifies and keeps the blocks."""

    @property
    def headers(self) -> HeaderForm:
        """Where a header has its creator and its vote."""

    @property
    def codec(self) -> MessageCodec:
        """The bytes of its messages."""

    @property
    def justifications(self) -> JustificationRules:
        """The rules for its certificates."""

    def encode_extra_data(self, extra: ExtraData) -> bytes:
        """Encode all items that the extra data of this protocol has, as in a header, with the seals. IBFT 1 leaves out
        vote and round, which the others encode."""

    def decode_extra_data(self, data: bytes) -> ExtraData:
        """Decode the extra data of a header. Raises RlpError if these bytes are not in the form of this protocol."""

    def block_hash(self, header: BlockHeader) -> bytes:
        """The block's hash (32 bytes) everywhere outside consensus messages.

        In IBFT 2.0 and QBFT it does not cover seals and round, and the hash of the genesis covers all its fields. In IBFT
        1 it does not cover the commit seals. Raises RlpError if the extra data of a later block than the genesis is not
        this protocol's.
        """

    def round_in_proposal(self, round_: int, *, prefers_round_zero: bool) -> int:
        """The round in the extra data of a block that is proposed in `round_`: `round_` itself, or 0 if
        `prefers_round_zero` and the protocol has that form. Only QBFT has it."""

    def committed_seal_hash(self, header: BlockHeader) -> bytes:
        """The digest (32 bytes) that proposals, prepares and commits for the block of `header` name. Commit seals sign
        it too, unless the block was proposed with another round in its extra data (`blocks.seal_digest`).

        In IBFT 2.0 and QBFT it is the hash of the header with its round and without its seals, and of the genesis with
        all its fields. Raises RlpError if the extra data of a later block is not this protocol's, in QBFT also for the
        genesis.
        """
