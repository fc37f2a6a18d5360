"""What proposals and round changes of IBFT 2.0 prove (Besu's `validation` package).

Each check raises `MessageRefusedError` with one sentence.
"""

from collections.abc import Sequence

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.message_rules import (
    MessageRefusedError,
    check_prepare,
    check_proposal_payload,
    require,
    require_distinct,
)
from lacnode.consensus.bft.messages import Proposal, RoundChange
from lacnode.consensus.bft.payloads import PreparedCertificate, RoundChangePayload, RoundId, SignedPayload
from lacnode.consensus.bft.prepared_block import PreparedBlock, best_certificate
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, committed_seal_hash_in_round
from lacnode.consensus.ibft2.extra_data import decode_extra_data
from lacnode.consensus.ibft2.payloads import signed_proposal
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError


def check_proposal(committee: Committee, proposal: Proposal) -> None:
    """Check that the author of a proposal is the proposer of its round, that its block has the height, the round and
    the digest of the signed part, and its certificate. The caller has compared its height. The validity of the block is
    not checked. Raises MessageRefusedError.

    The rules are in docs/spec/ibft2.md, "What a message must be".
    """
    payload, certificate = proposal.signed.payload, proposal.justification.round_changes
    round_id = payload.round_id
    check_proposal_payload(committee, proposal.signed, round_id)
    # The cheap rules come first. A certificate costs a check of each of its signed payloads.
    _check_block_is(proposal.block, round_id, payload.digest)
    if round_id.round == 0:
        require(certificate is None, "a proposal for round 0 carries no certificate")
        return
    # Without a certificate any proposer of a later round could propose a new block, although a quorum may have committed
    # another one.
    if certificate is None:
        raise MessageRefusedError(f"a proposal for round {round_id.round} needs a round change certificate")
    _check_round_change_certificate(committee, certificate, round_id)
    # The block prepared last must be proposed again. Only the round in its extra data may differ, so the comparison is
    # made with the round in which it was prepared.
    best = best_certificate(certificate)
    if best is not None:
        digest = committed_seal_hash_in_round(proposal.block.header, best.round)
        require(digest == best.digest, f"not the block that was prepared in round {best.round}")


def check_round_change(committee: Committee, message: RoundChange) -> None:
    """Check a round change: its signed part, that it has a block exactly when it has a certificate, and that its block is
    the one of the certificate. The validity of the block is not checked. Raises MessageRefusedError."""
    payload = message.signed.payload
    check_round_change_payload(committee, message.signed)
    certificate = payload.certificate
    require((message.block is None) == (certificate is None), "block and certificate come together or not at all")
    # The block itself is not signed, only its digest in the certificate.
    if certificate is not None and message.block is not None:
        proposed = signed_proposal(certificate).payload
        _check_block_is(message.block, proposed.round_id, proposed.digest)


def check_round_change_payload(committee: Committee, signed: SignedPayload[RoundChangePayload]) -> None:
    """Check the signed part of a round change: author, height, round, and certificate. Raises MessageRefusedError."""
    round_id = signed.payload.round_id
    require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")
    # Rounds are signed numbers on the wire, as in Besu.
    require(round_id.round >= 0, "a negative round")
    if signed.payload.certificate is not None:
        check_prepared_certificate(committee, signed.payload.certificate, round_id)


def check_prepared_certificate(committee: Committee, certificate: PreparedCertificate, target: RoundId) -> None:
    """Check that a quorum of validators prepared one proposal, in a round of this height before `target`. The proposer
    counts by its signed proposal. At least `committee.prepares_needed` other validators must have signed a prepare, one
    each.

    Raises MessageRefusedError.
    """
    prepared = signed_proposal(certificate).payload.round_id
    require(prepared.sequence == target.sequence, "a certificate of another height")
    # A certificate of the target round itself cannot exist: the round has not started for its author.
    require(0 <= prepared.round < target.round, f"prepared in round {prepared.round}, not before {target.round}")
    check_proposal_payload(committee, signed_proposal(certificate), prepared)
    digest = signed_proposal(certificate).payload.digest
    # One validator with many prepares must not count as a quorum.
    require_distinct(certificate.prepares, "prepare")
    for prepare in certificate.prepares:
        check_prepare(committee, prepare, prepared, digest)
    count = len(certificate.prepares)
    require(count >= committee.prepares_needed, f"{count} prepares where {committee.prepares_needed} are needed")


def best_prepared(messages: Sequence[RoundChange]) -> PreparedBlock | None:
    """The block with the certificate of the highest prepared round in `messages`. None if no message shows one. If
    several have that round, the first one counts, because the proposer chooses in the same way.
    """
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
    require(count >= committee.quorum, f"{count} round changes where {committee.quorum} are needed")
    require_distinct(certificate, "round change")
    for signed in certificate:
        require(signed.payload.round_id == round_id, f"a round change for {signed.payload.round_id} in it")
        check_round_change_payload(committee, signed)


def _check_block_is(block: Block, round_id: RoundId, digest: bytes) -> None:
    """Check that the block has the height, the round and the digest of its payload."""
    try:
        round_ = decode_extra_data(block.header.extra_data).round
        found = committed_seal_hash(block.header)
    except RlpError as error:
        raise MessageRefusedError(str(error)) from None
    require(block.number == round_id.sequence, f"block {block.number} in a message for {round_id}")
    require(round_ == round_id.round, f"the block is of round {round_}, the message for {round_id}")
    require(found == digest, "the digest is not that of the block")
