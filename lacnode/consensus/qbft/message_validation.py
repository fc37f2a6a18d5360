"""The rules for QBFT messages of a known height (Besu's `qbft.core.validation` package).

Each check raises `MessageRefusedError` with one sentence. The header rules and the execution of a proposed block are not
checked here. The rules of prepares and commits are in `bft.message_rules`.

A digest names a block together with the round in its extra data. Besu proposes a block with the current round since 24.12.
GoQuorum and older releases of Besu propose it with round 0 in every round. Both forms are accepted, because both name one
block: the on-chain hash does not cover the round.
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
from lacnode.consensus.bft.payloads import (
    PreparedCertificate,
    PreparePayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock, best_certificate
from lacnode.consensus.qbft.block_hash import committed_seal_hash, committed_seal_hash_in_round
from lacnode.consensus.qbft.extra_data import decode_extra_data
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError


def check_proposal(committee: Committee, proposal: Proposal) -> None:
    """Check the signed part of a proposal, the height and the round of its block, and its justification, but not the
    validity and the creator of the block. Raises MessageRefusedError.
    """
    payload = proposal.signed.payload
    round_id = payload.round_id
    require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")
    check_proposal_payload(committee, proposal.signed, round_id)
    # The cheap rules come first. A justification costs a check of each of its signed payloads.
    _check_block(proposal.block, round_id)
    round_changes, prepares = proposal.justification.round_changes or (), proposal.justification.prepares
    if round_id.round == 0:
        require(not round_changes and not prepares, "a proposal for round 0 carries no justification")
        return
    _check_round_changes(committee, round_changes, round_id)
    best = best_certificate(round_changes)
    if best is None:
        require(not prepares, "prepares, although no round change names a prepared block")
        return
    # The block prepared last must be proposed again: a quorum may have committed it.
    require(_names_block(best, proposal.block), f"not the block that was prepared in round {best.round}")
    _check_prepares(committee, prepares, best)


def check_round_change(committee: Committee, message: RoundChange) -> None:
    """Check a round change with the unsigned proof of its prepared block. The validity of the block is not checked.
    Raises MessageRefusedError."""
    check_round_change_payload(committee, message.signed)
    certificate = message.signed.payload.certificate
    require(
        (message.block is None) == (certificate is None), "a prepared round and its block come together or not at all"
    )
    if certificate is None or message.block is None:
        require(not message.prepares, "prepares without a prepared round")
        return
    _check_block(message.block, RoundId(committee.height, certificate.round))
    digest = committed_seal_hash(message.block.header)
    require(digest == certificate.digest, "the digest is not that of the block")
    _check_prepares(committee, message.prepares, certificate)


def check_round_change_payload(committee: Committee, signed: SignedPayload[RoundChangePayload]) -> None:
    """Check the signed part of a round change: author, height, and rounds. Raises MessageRefusedError."""
    round_id, certificate = signed.payload.round_id, signed.payload.certificate
    require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    require(round_id.sequence == committee.height, f"for {round_id} instead of height {committee.height}")
    # Round 0 is where a height starts. Asking for it has no meaning, and Besu refuses it.
    require(round_id.round > 0, "a round change for round 0")
    if certificate is not None:
        # A certificate of the target round itself cannot exist: the round has not started for its author.
        require(
            0 <= certificate.round < round_id.round,
            f"prepared in round {certificate.round}, not before {round_id.round}",
        )


def best_prepared(messages: Sequence[RoundChange]) -> PreparedBlock | None:
    """The block with the certificate of the highest prepared round, and its prepares. None if no message shows one.

    The first one wins if several have that round. `messages` have passed `check_round_change`.
    """
    best: PreparedBlock | None = None
    for message in messages:
        certificate = message.signed.payload.certificate
        if certificate is not None and message.block is not None and (best is None or certificate.round > best.round):
            proven = PreparedCertificate(certificate.round, certificate.digest, message.prepares)
            best = PreparedBlock(proven, message.block)
    return best


def _check_round_changes(
    committee: Committee, round_changes: Sequence[SignedPayload[RoundChangePayload]], round_id: RoundId
) -> None:
    """Check that a quorum asked for exactly this round, and that no two disagree about a prepared round."""
    count = len(round_changes)
    require(count >= committee.quorum, f"{count} round changes where {committee.quorum} are needed")
    require_distinct(round_changes, "round change")
    digests: dict[int, bytes] = {}
    for signed in round_changes:
        # An author that asked for a later round has left this one.
        require(signed.payload.round_id == round_id, f"a round change for {signed.payload.round_id} in it")
        check_round_change_payload(committee, signed)
        certificate = signed.payload.certificate
        if certificate is not None:
            # One round cannot prepare two blocks. Besu refuses such a set, so we do not help to make it.
            same = digests.setdefault(certificate.round, certificate.digest) == certificate.digest
            require(same, f"two different blocks prepared in round {certificate.round}")


def _check_prepares(
    committee: Committee, prepares: Sequence[SignedPayload[PreparePayload]], certificate: PreparedCertificate
) -> None:
    """Check that a quorum of distinct validators prepared the block that `certificate` names."""
    require(
        len(prepares) >= committee.prepares_needed,
        f"{len(prepares)} prepares where {committee.prepares_needed} are needed",
    )
    # One validator with many prepares must not count as a quorum.
    require_distinct(prepares, "prepare")
    prepared = RoundId(committee.height, certificate.round)
    for prepare in prepares:
        check_prepare(committee, prepare, prepared, certificate.digest)


def _check_block(block: Block, round_id: RoundId) -> None:
    """Check that the block has the height of its message, and the round of its message or round 0."""
    try:
        round_ = decode_extra_data(block.header.extra_data).round
    except RlpError as error:
        raise MessageRefusedError(str(error)) from None
    require(block.number == round_id.sequence, f"block {block.number} in a message for {round_id}")
    require(round_ in (0, round_id.round), f"the block is of round {round_}, the message for {round_id}")


def _names_block(certificate: PreparedCertificate, block: Block) -> bool:
    """Whether the digest of the certificate is that of `block`, as it was proposed in the prepared round."""
    return certificate.digest in {
        committed_seal_hash_in_round(block.header, round_) for round_ in (certificate.round, 0)
    }
