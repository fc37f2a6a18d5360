"""Whether a message is what it claims to be, given the height it speaks of (Besu's `validation` package).

Each check raises `MessageRefusedError` with one sentence. The block inside a proposal is judged elsewhere: its header rules
and execution are the world's business (`CheckProposal`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.consensus.block_hash import committed_seal_hash, with_round
from lacnode.consensus.extra_data import ExtraData
from lacnode.consensus.ibft_messages import Proposal, RoundChange
from lacnode.consensus.ibft_payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.prepared_block import PreparedBlock
from lacnode.consensus.proposer import proposer_for
from lacnode.consensus.quorum import max_faulty, prepares_needed, quorum
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError


class MessageRefusedError(Exception):
    """A message that breaks a rule; the text says which."""


@dataclass(frozen=True, slots=True)
class Committee:
    """Who agrees on one height: `validators` ascending, after the block created by `parent_coinbase`."""

    height: int
    validators: tuple[bytes, ...]
    parent_coinbase: bytes

    @property
    def quorum(self) -> int:
        return quorum(len(self.validators))

    @property
    def prepares_needed(self) -> int:
        return prepares_needed(len(self.validators))

    @property
    def max_faulty(self) -> int:
        return max_faulty(len(self.validators))

    def proposer(self, round_: int) -> bytes:
        """Whose turn round `round_` is."""
        return proposer_for(self.validators, self.parent_coinbase, round_)

    def round_id(self, round_: int) -> RoundId:
        return RoundId(self.height, round_)


def check_proposal(committee: Committee, proposal: Proposal) -> None:
    """Everything about a proposal but its block's own validity (reference sheet section 5.6, steps 1, 3, 4)."""
    payload = proposal.signed.payload
    round_id = payload.round_id
    check_proposal_payload(committee, proposal.signed, round_id)
    _check_block_is(proposal.block, round_id, payload.digest)
    if round_id.round == 0:
        _require(proposal.certificate is None, "a proposal for round 0 carries no certificate")
        return
    if proposal.certificate is None:
        raise MessageRefusedError(f"a proposal for round {round_id.round} needs a round change certificate")
    _check_round_change_certificate(committee, proposal.certificate, round_id)
    best = best_certificate(proposal.certificate)
    if best is not None:
        digest = committed_seal_hash(with_round(proposal.block, best.round).header)
        _require(digest == best.proposal.payload.digest, f"not the block that was prepared in round {best.round}")


def check_creator(proposal: Proposal) -> None:
    """A block that is proposed for the first time was created by its proposer.

    Besu does not look, so such a block may become final elsewhere, and must then import. But its vote and the rotation
    would count for somebody else, so we do not help to make it final. A block that was prepared before keeps its
    creator whoever proposes it again, so liveness does not depend on this.
    """
    is_new = proposal.certificate is None or best_certificate(proposal.certificate) is None
    creator = proposal.block.header.coinbase
    if is_new:
        _require(creator == proposal.signed.author, f"a new block of 0x{creator.hex()}, which is not its proposer")


def check_proposal_payload(committee: Committee, signed: SignedPayload[ProposalPayload], round_id: RoundId) -> None:
    """The signed part alone: for that round, by its proposer."""
    _require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    _require(signed.author == committee.proposer(round_id.round), f"0x{signed.author.hex()} is not the proposer")


def check_prepare(
    committee: Committee, signed: SignedPayload[PreparePayload], round_id: RoundId, digest: bytes
) -> None:
    """By a validator other than the proposer, for this round and digest."""
    _require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    _require(signed.author != committee.proposer(round_id.round), "the proposer does not prepare")
    _require(signed.payload.digest == digest, "for another block")


def check_commit(committee: Committee, signed: SignedPayload[CommitPayload], round_id: RoundId, digest: bytes) -> None:
    """By a validator, for this round and digest, with that validator's own seal."""
    payload = signed.payload
    _require(payload.round_id == round_id, f"for {payload.round_id} instead of {round_id}")
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    _require(payload.digest == digest, "for another block")
    try:
        sealer = recover_address(digest, payload.seal or b"")
    except SignatureError as error:
        raise MessageRefusedError(f"commit seal: {error}") from None
    _require(sealer == signed.author, "the commit seal is another's")


def check_round_change(committee: Committee, message: RoundChange) -> None:
    """Payload, and the block exactly when there is a certificate for it."""
    payload = message.signed.payload
    check_round_change_payload(committee, message.signed)
    certificate = payload.certificate
    _require((message.block is None) == (certificate is None), "block and certificate come together or not at all")
    if certificate is not None and message.block is not None:
        proposed = certificate.proposal.payload
        _check_block_is(message.block, proposed.round_id, proposed.digest)


def check_round_change_payload(committee: Committee, signed: SignedPayload[RoundChangePayload]) -> None:
    """By a validator, at this height, and whatever it shows as prepared was prepared in an earlier round."""
    round_id = signed.payload.round_id
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    _require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")
    _require(round_id.round >= 0, "a negative round")
    if signed.payload.certificate is not None:
        check_prepared_certificate(committee, signed.payload.certificate, round_id)


def check_prepared_certificate(committee: Committee, certificate: PreparedCertificate, target: RoundId) -> None:
    """A quorum of distinct validators prepared one proposal, in a round of this height before `target`."""
    prepared = certificate.proposal.payload.round_id
    _require(prepared.sequence == target.sequence, "a certificate of another height")
    _require(0 <= prepared.round < target.round, f"prepared in round {prepared.round}, not before {target.round}")
    check_proposal_payload(committee, certificate.proposal, prepared)
    digest = certificate.proposal.payload.digest
    _require_distinct(certificate.prepares, "prepare")
    for prepare in certificate.prepares:
        check_prepare(committee, prepare, prepared, digest)
    count = len(certificate.prepares)
    _require(count >= committee.prepares_needed, f"{count} prepares where {committee.prepares_needed} are needed")


def best_certificate(round_changes: Sequence[SignedPayload[RoundChangePayload]]) -> PreparedCertificate | None:
    """The certificate of the highest prepared round, the first of several; None if nothing was prepared."""
    certificates = [signed.payload.certificate for signed in round_changes if signed.payload.certificate is not None]
    return max(certificates, key=lambda certificate: certificate.round, default=None)


def best_prepared(messages: Sequence[RoundChange]) -> PreparedBlock | None:
    """Like `best_certificate`, with the block."""
    best: PreparedBlock | None = None
    for message in messages:
        certificate = message.signed.payload.certificate
        if certificate is not None and message.block is not None and (best is None or certificate.round > best.round):
            best = PreparedBlock(certificate, message.block)
    return best


def _check_round_change_certificate(
    committee: Committee, certificate: Sequence[SignedPayload[RoundChangePayload]], round_id: RoundId
) -> None:
    count = len(certificate)
    _require(count >= committee.quorum, f"{count} round changes where {committee.quorum} are needed")
    _require_distinct(certificate, "round change")
    for signed in certificate:
        _require(signed.payload.round_id == round_id, f"a round change for {signed.payload.round_id} in it")
        check_round_change_payload(committee, signed)


def _check_block_is(block: Block, round_id: RoundId, digest: bytes) -> None:
    """The block is the one that the payload speaks of."""
    try:
        round_ = ExtraData.decode(block.header.extra_data).round
        found = committed_seal_hash(block.header)
    except RlpError as error:
        raise MessageRefusedError(str(error)) from None
    _require(block.number == round_id.sequence, f"block {block.number} in a message for {round_id}")
    _require(round_ == round_id.round, f"the block is of round {round_}, the message for {round_id}")
    _require(found == digest, "the digest is not that of the block")


def _require_distinct(
    signed: "Sequence[SignedPayload[PreparePayload]] | Sequence[SignedPayload[RoundChangePayload]]", what: str
) -> None:
    authors = {payload.author for payload in signed}
    _require(len(authors) == len(signed), f"more than one {what} of one validator")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise MessageRefusedError(otherwise)
