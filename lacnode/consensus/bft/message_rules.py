"""The rules for messages that all protocols share (Besu's `validation` packages).

Each check raises `MessageRefusedError` with one sentence. What proposals and round changes prove is checked by the
protocol. The header rules and the execution of a proposed block are not checked here: the effect `CheckProposal` asks the
validator for them.
"""

from collections.abc import Sequence

from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.messages import Proposal
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    RoundId,
    SignedPayload,
)
from lacnode.crypto.secp256k1 import SignatureError, recover_address


class MessageRefusedError(Exception):
    """A message breaks a rule. The text names the rule."""


def require(holds: bool, otherwise: str) -> None:
    """Raises MessageRefusedError with the text `otherwise` unless `holds`."""
    if not holds:
        raise MessageRefusedError(otherwise)


def require_distinct(
    signed: Sequence[SignedPayload[PreparePayload]] | Sequence[SignedPayload[RoundChangePayload]], what: str
) -> None:
    """Check that no author signed twice. Raises MessageRefusedError, whose text calls the payloads `what`."""
    authors = {payload.author for payload in signed}
    require(len(authors) == len(signed), f"more than one {what} of one validator")


def check_creator(proposal: Proposal) -> None:
    """Check that a new block was created by its proposer. Raises MessageRefusedError.

    Besu does not check this for IBFT 2.0, so such a block may become final elsewhere and must then be imported. Its vote
    and the rotation of proposers would count for another validator, so this validator does not help to make it final. A
    prepared block keeps its creator when another validator proposes it again, so liveness does not depend on this rule.
    """
    creator = proposal.block.header.coinbase
    require(creator == proposal.signed.author, f"a new block of 0x{creator.hex()}, which is not its proposer")


def check_proposal_payload(committee: Committee, signed: SignedPayload[ProposalPayload], round_id: RoundId) -> None:
    """Check the signed part of a proposal: its round, and that its author is the proposer. Raises MessageRefusedError."""
    require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    require(signed.author == committee.proposer(round_id.round), f"0x{signed.author.hex()} is not the proposer")


def check_prepare(
    committee: Committee, signed: SignedPayload[PreparePayload], round_id: RoundId, digest: bytes
) -> None:
    """Check a prepare: its round, its digest (`digest`, 32 bytes), and that its author is a validator that may prepare.
    The proposer may not unless `committee.proposer_prepares`.

    Raises MessageRefusedError.
    """
    require(signed.payload.round_id == round_id, f"for {signed.payload.round_id} instead of {round_id}")
    require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    # Where the proposal is the proposer's vote, the proposer would count twice with a prepare of its own.
    may_prepare = committee.proposer_prepares or signed.author != committee.proposer(round_id.round)
    require(may_prepare, "the proposer does not prepare")
    require(signed.payload.digest == digest, "for another block")


def check_commit(
    committee: Committee,
    signed: SignedPayload[CommitPayload],
    round_id: RoundId,
    digest: bytes,
    seal_digest: bytes | None = None,
) -> None:
    """Check a commit: its round, its digest (`digest`, 32 bytes), that its author is a validator, and that the author made
    the seal. Raises MessageRefusedError.

    `seal_digest` is what the seal signs (32 bytes), None if it is `digest`.
    """
    payload = signed.payload
    require(payload.round_id == round_id, f"for {payload.round_id} instead of {round_id}")
    require(signed.author in committee.validators, f"0x{signed.author.hex()} is no validator")
    require(payload.digest == digest, "for another block")
    # The seal goes into the block. One bad seal would make the whole block invalid for every node that imports it.
    try:
        sealer = recover_address(digest if seal_digest is None else seal_digest, payload.seal or b"")
    except SignatureError as error:
        raise MessageRefusedError(f"commit seal: {error}") from None
    require(sealer == signed.author, "the commit seal is another's")
