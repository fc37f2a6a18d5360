"""The rules for a message of a known height (Besu's `validation` package).

Each check raises `MessageRefusedError` with one sentence. The header rules and the execution of a proposed block are not
checked here: the effect `CheckProposal` asks the validator for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.consensus.bft.quorum import max_faulty, prepares_needed, quorum
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, with_round
from lacnode.consensus.ibft2.extra_data import ExtraData
from lacnode.consensus.ibft2.messages import Proposal, RoundChange
from lacnode.consensus.ibft2.payloads import (
    CommitPayload,
    PreparedCertificate,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError


class MessageRefusedError(Exception):
    """A message breaks a rule. The text names the rule."""


@dataclass(frozen=True, slots=True)
class Committee:
    """The validators of one height, ascending (20-byte addresses). `parent_coinbase` is the creator of the parent block."""

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
        """The address of the proposer of round `round_`."""
        return proposer_for(self.validators, self.parent_coinbase, round_)

    def round_id(self, round_: int) -> RoundId:
        return RoundId(self.height, round_)


def check_proposal(committee: Committee, proposal: Proposal) -> None:
    """Check a proposal, except the validity of its block. Raises MessageRefusedError.

    The rules are in docs/spec/ibft2.md, "What a message must be".
    """
    payload = proposal.signed.payload
    round_id = payload.round_id
    check_proposal_payload(committee, proposal.signed, round_id)
    # The cheap rules come first. A certificate costs a check of each of its signed payloads.
    _check_block_is(proposal.block, round_id, payload.digest)
    if round_id.round == 0:
        _require(proposal.certificate is None, "a proposal for round 0 carries no certificate")
        return
    # Without a certificate any proposer of a later round could propose a new block, although a quorum may have committed
    # another one.
    if proposal.certificate is None:
        raise MessageRefusedError(f"a proposal for round {round_id.round} needs a round change certificate")
    _check_round_change_certificate(committee, proposal.certificate, round_id)
    # The block prepared last must be proposed again. Only the round in its extra data may differ, so the comparison is
    # made with the round in which it was prepared.
    best = best_certificate(proposal.certificate)
    if best is not None:
        digest = committed_seal_hash(with_round(proposal.block, best.round).header)
        _require(digest == best.proposal.payload.digest, f"not the block that was prepared in round {best.round}")


def check_creator(proposal: Proposal) -> None:
    """Check that a new block was created by its proposer. Raises MessageRefusedError.

    Besu does not check this, so such a block may become final elsewhere and must then be imported. Its vote and the
    rotation of proposers would count for another validator, so this validator does not help to make it final. A prepared
    block keeps its creator when another validator proposes it again, so liveness does not depend on this rule.
    """
    # A proposal for a later round is new, too, if no round change in its certificate shows a prepared block.
    is_new = proposal.certificate is None or best_certificate(proposal.certificate) is None
    creator = proposal.block.header.coinbase
    if is_new:
        _require(creator == proposal.signed.author, f"a new block of 0x{creator.hex()}, which is not its proposer")


def check_proposal_payload(committee: Committee, signed: SignedPayload[ProposalPayload], round_id: RoundId) -> None:
    """Check the signed part of a proposal: its round, and that its author is the proposer. Raises MessageRefusedError."""
    _require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    _require(signed.author == committee.proposer(round_id.round), f"0x{signed.author.hex()} is not the proposer")


def check_prepare(
    committee: Committee, signed: SignedPayload[PreparePayload], round_id: RoundId, digest: bytes
) -> None:
    """Check a prepare: its round, its digest, and that its author is a validator but not the proposer.

    Raises MessageRefusedError.
    """
    _require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    # The proposal is the proposer's vote. With a prepare of its own the proposer would count twice.
    _require(signed.author != committee.proposer(round_id.round), "the proposer does not prepare")
    _require(signed.payload.digest == digest, "for another block")


def check_commit(committee: Committee, signed: SignedPayload[CommitPayload], round_id: RoundId, digest: bytes) -> None:
    """Check a commit: its round, its digest, its author, and that the seal is the author's. Raises MessageRefusedError."""
    payload = signed.payload
    _require(payload.round_id == round_id, f"for {payload.round_id} instead of {round_id}")
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    _require(payload.digest == digest, "for another block")
    # The seal goes into the block. One bad seal would make the whole block invalid for every node that imports it.
    try:
        sealer = recover_address(digest, payload.seal or b"")
    except SignatureError as error:
        raise MessageRefusedError(f"commit seal: {error}") from None
    _require(sealer == signed.author, "the commit seal is another's")


def check_round_change(committee: Committee, message: RoundChange) -> None:
    """Check a round change. It has a block exactly when it has a certificate for it. Raises MessageRefusedError."""
    payload = message.signed.payload
    check_round_change_payload(committee, message.signed)
    certificate = payload.certificate
    _require((message.block is None) == (certificate is None), "block and certificate come together or not at all")
    # The block itself is not signed, only its digest in the certificate.
    if certificate is not None and message.block is not None:
        proposed = certificate.proposal.payload
        _check_block_is(message.block, proposed.round_id, proposed.digest)


def check_round_change_payload(committee: Committee, signed: SignedPayload[RoundChangePayload]) -> None:
    """Check the signed part of a round change: author, height, round, and certificate. Raises MessageRefusedError."""
    round_id = signed.payload.round_id
    _require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    _require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")
    # Rounds are signed numbers on the wire, as in Besu.
    _require(round_id.round >= 0, "a negative round")
    if signed.payload.certificate is not None:
        check_prepared_certificate(committee, signed.payload.certificate, round_id)


def check_prepared_certificate(committee: Committee, certificate: PreparedCertificate, target: RoundId) -> None:
    """Check that a quorum of distinct validators prepared one proposal, in a round of this height before `target`.

    Raises MessageRefusedError.
    """
    prepared = certificate.proposal.payload.round_id
    _require(prepared.sequence == target.sequence, "a certificate of another height")
    # A certificate of the target round itself cannot exist: the round has not started for its author.
    _require(0 <= prepared.round < target.round, f"prepared in round {prepared.round}, not before {target.round}")
    check_proposal_payload(committee, certificate.proposal, prepared)
    digest = certificate.proposal.payload.digest
    # One validator with many prepares must not count as a quorum.
    _require_distinct(certificate.prepares, "prepare")
    for prepare in certificate.prepares:
        check_prepare(committee, prepare, prepared, digest)
    count = len(certificate.prepares)
    _require(count >= committee.prepares_needed, f"{count} prepares where {committee.prepares_needed} are needed")


def best_certificate(round_changes: Sequence[SignedPayload[RoundChangePayload]]) -> PreparedCertificate | None:
    """The certificate of the highest prepared round, the first one if several have that round. None if there is none."""
    # The highest round wins: a quorum that prepared a block there has seen that lower rounds committed nothing else.
    certificates = [signed.payload.certificate for signed in round_changes if signed.payload.certificate is not None]
    return max(certificates, key=lambda certificate: certificate.round, default=None)


def best_prepared(messages: Sequence[RoundChange]) -> PreparedBlock | None:
    """Like `best_certificate`, with the block. The first one wins here, too, so that both choose the same block."""
    # A round change with a certificate has passed `check_round_change`, so its block is the one of the certificate.
    best: PreparedBlock | None = None
    for message in messages:
        certificate = message.signed.payload.certificate
        if certificate is not None and message.block is not None and (best is None or certificate.round > best.round):
            best = PreparedBlock(certificate, message.block)
    return best


def _check_round_change_certificate(
    committee: Committee, certificate: Sequence[SignedPayload[RoundChangePayload]], round_id: RoundId
) -> None:
    # More than a quorum is fine. Each round change must be for exactly this round: an author that asked for a later
    # round has left this one.
    count = len(certificate)
    _require(count >= committee.quorum, f"{count} round changes where {committee.quorum} are needed")
    _require_distinct(certificate, "round change")
    for signed in certificate:
        _require(signed.payload.round_id == round_id, f"a round change for {signed.payload.round_id} in it")
        check_round_change_payload(committee, signed)


def _check_block_is(block: Block, round_id: RoundId, digest: bytes) -> None:
    """Check that the block has the height, the round and the digest of its payload."""
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
