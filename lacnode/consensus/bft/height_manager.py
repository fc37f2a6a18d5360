"""Agreement on one block: rounds until one of them commits (Besu's `IbftBlockHeightManager` and `IbftRound`).

The steps of a round have a fixed order. The proposer checks, records, signs and sends its block. A validator that finds
the block valid signs a prepare. With q-1 prepares the block is *prepared*: this is recorded on disk before the commit is
signed. With q commits the block is final and is imported. If the round lasts too long, the validator leaves it with a
round change. The round change shows the block prepared so far, if there is one. Later rounds may propose only that block.

What differs from Besu, without being visible in any single message:

* A prepared block is kept for every way to leave a round, and across restarts.
* A validator commits only a block that it has seen prepared. Besu adds its own commit to a proposal at once.
* f+1 round changes for later rounds make this validator follow. A validator that lags or connects is sent our messages
  of the current round again.

`DISPATCH`, at the end of this file and in docs/spec/ibft2.md, says which method handles which message. The states of the
own proposal are in `own_proposal`. Methods append to a list of effects, and `handle` returns that list.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from lacnode.consensus.bft.effects import (
    BlamePeer,
    BuildBlock,
    CheckProposal,
    Effect,
    ImportBlock,
    RecordDraft,
    RecordPrepared,
    SignPayload,
    WriteLogLine,
)
from lacnode.consensus.bft.events import (
    BlockBuilt,
    BlockTimerExpired,
    Event,
    HeadChanged,
    ImportFailed,
    PayloadSigned,
    PeerConnected,
    ProposalChecked,
    RoundTimerExpired,
    SigningRefused,
)
from lacnode.consensus.bft.journal import SignedAtHeight
from lacnode.consensus.bft.message_buffers import LaterRoundVotes
from lacnode.consensus.bft.own_proposal import OwnProposal, ProposerState
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_change_manager import RoundChangeManager
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.consensus.bft.sent_messages import SentMessages
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, with_round, with_seals
from lacnode.consensus.ibft2.message_validation import (
    Committee,
    MessageRefusedError,
    best_prepared,
    check_creator,
    check_proposal,
    check_proposal_payload,
    check_round_change,
)
from lacnode.consensus.ibft2.messages import Commit, Message, Prepare, Proposal, RoundChange, round_id_of
from lacnode.consensus.ibft2.payloads import (
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    CommitPayload,
    Payload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    SignedPayload,
)
from lacnode.primitives.block import Block

MAX_ROUND = 2**31 - 2
"""The last round. The wire has 32 signed bits for a round, and the round after this one must fit, too."""

MAX_PROPOSALS_CHECKED = 4
"""Checks of proposals that may be unanswered. With one more, the check of the lowest round is dropped. A quorum has asked
for every later round that has a proposal, so the lowest round is the least likely to matter."""


class HeightManager:
    """The state machine of one height, for a validator. `signed` is the content of the journal for this height.

    `address` is the validator's own address (20 bytes). `head` is the parent of the block to agree on.
    """

    def __init__(self, address: bytes, head: HeadChanged, signed: SignedAtHeight) -> None:
        self.committee = Committee(head.header.number + 1, head.validators, head.header.coinbase)
        self.number = self.committee.height
        self.round = Round(self.committee, signed.round)
        self.timers = RoundTimers(head)
        self.prepared: PreparedBlock | None = signed.prepared
        """The block of the highest round that this validator has seen prepared at this height."""
        self.importing: bytes | None = None
        """The digest of the agreed block, while it is being imported."""
        self.round_changes = RoundChangeManager()
        self._address = address
        self._signed = signed
        self._others = frozenset(head.validators) - {address}
        self._sent_messages = SentMessages(self._others)
        self._own_proposal = OwnProposal()
        self._round_change_block: PreparedBlock | None = None
        """The block that goes with the round change being signed. `prepared` may change before the signature is there."""
        self._checks: dict[bytes, Proposal] = {}
        """Proposals of others that are being checked, by digest. The digest names the header, and the body has been
        compared with the header before."""
        self._first_proposals: dict[int, ProposalPayload] = {}
        """The first proposal of each round's proposer, by round, from the current round on. It counts even if its block
        is invalid: a proposer that could try again could make us check blocks without end."""
        self._early_votes = LaterRoundVotes()
        self._not_importable: set[bytes] = set()
        self._now_ms = 0
        self._out: list[Effect] = []

    # -- input ---------------------------------------------------------------------------------------------------

    def start(self, now_ms: int) -> list[Effect]:
        """Start the height. After a restart, go on in the highest round of the journal and send its messages again.

        `now_ms` is the wall clock in Unix milliseconds.
        """
        self._now_ms = now_ms
        self._out.append(self.timers.start_round(self.round.number, now_ms))
        self._restore_prepared()
        if self.round.number == 0 and self._is_proposer and not self._has_signed(PROPOSAL):
            self._out.append(self.timers.start_first_block_timer(now_ms))
        self._resend_signed()
        return self._drain()

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Return the effects of `event`. The list is empty if the event is about another height or a round that was left.

        `now_ms` is the wall clock in Unix milliseconds.
        """
        self._now_ms = now_ms
        # A pattern such as `BlockBuilt(self.number, ...)` compares: an answer for another height or round does not match.
        match event:
            case BlockTimerExpired(self.number, self.round.number):
                self._block_timer_expired()
            case RoundTimerExpired(self.number, self.round.number):
                self._round_timer_expired()
            case BlockBuilt(self.number, self.round.number, block):
                self._block_built(block)
            # No round here: the check of a proposal for a later round is answered while we are still in an earlier one.
            case ProposalChecked(digest, failure):
                self._proposal_checked(digest, failure)
            # A signature for a round that was left stays in the journal and is never sent.
            case PayloadSigned(signed) if signed.payload.round_id == self.round.id:
                self._payload_signed(signed)
            case SigningRefused(payload, reason) if payload.round_id.sequence == self.number:
                self._log("not-signed", f"{type(payload).__name__} for {payload.round_id} was not signed: {reason}")
            case ImportFailed(self.number, digest, reason):
                self._import_failed(digest, reason)
            case PeerConnected(address):
                self._out += self._sent_messages.resend_to(address)
        return self._drain()

    def handle_message(self, message: Message, now_ms: int) -> list[Effect]:
        """Return the effects of a message of this height that another of its validators signed.

        `now_ms` is the wall clock in Unix milliseconds.
        """
        self._now_ms = now_ms
        round_ = round_id_of(message).round
        when = _When.EARLIER if round_ < self.round.number else _When.LATER
        DISPATCH[type(message), _When.CURRENT if round_ == self.round.number else when](self, message)
        return self._drain()

    # -- the start of a height -----------------------------------------------------------------------------------

    def _restore_prepared(self) -> None:
        """Take a block that was prepared in the current round as the proposal of this round."""
        prepared = self.prepared
        if prepared is not None and prepared.round == self.round.number:
            self.round.accept(Proposal(prepared.certificate.proposal, prepared.block))
            self._first_proposals[self.round.number] = prepared.certificate.proposal.payload
            for prepare in prepared.certificate.prepares:
                self.round.add_prepare(prepare)

    def _resend_signed(self) -> None:
        """Sign and send again what the journal has for this round.

        The node may have stopped between the journal and the network. Signing the same payload again gives the same
        bytes, so no other validator sees a contradiction.
        """
        number, id_ = self.round.number, self.round.id
        is_prepared = self.prepared is not None and self.prepared.round == number
        # If a block was prepared in this round, a quorum is in this round, and our round change is no longer needed.
        if self._has_signed(ROUND_CHANGE) and not is_prepared:
            self._send_round_change()
        draft = self._signed.signed_draft(number)
        if draft is not None and draft.digest is not None and not is_prepared:
            # No new check and no new record: both were done before the first signature.
            self._own_proposal.restore_signed(draft)
            self._sign(ProposalPayload(id_, draft.digest))
        digest = self._signed.digest(PREPARE, number)
        if digest is not None:
            self._sign(PreparePayload(id_, digest))
        # The commit is sent even if the journal has none: the proof is on disk, so the commit is the next step.
        if is_prepared and self.round.digest is not None:
            self._sign(CommitPayload(id_, self.round.digest))

    def _has_signed(self, code: int) -> bool:
        return self._signed.digest(code, self.round.number) is not None

    # -- the own proposal ----------------------------------------------------------------------------------------

    @property
    def _is_proposer(self) -> bool:
        return self.round.proposer == self._address

    def _block_timer_expired(self) -> None:
        """Build the block of this round, if this validator is its proposer and has no block yet."""
        own = self._own_proposal
        if not self._is_proposer or self.round.proposal is not None:
            return
        # Later rounds start their block in `_propose_in_later_round`: they need a quorum of round changes first.
        if own.state is ProposerState.NONE and self.round.number == 0:
            own.start_block(ProposalDraft())
        if own.state is ProposerState.BUILDING:
            self._request_block()

    def _request_block(self) -> None:
        """Ask for a new block, or wait until a block may follow its parent."""
        timestamp = self.timers.timestamp(self.round.number, self._now_ms)
        if timestamp is None:
            # The other validators would refuse a block whose timestamp is too close to its parent's.
            self._out.append(self.timers.start_earliest_block_timer())
        else:
            self._out.append(BuildBlock(self.number, self.round.number, timestamp))

    def _block_built(self, block: Block) -> None:
        if self._own_proposal.state is ProposerState.BUILDING:
            digest = committed_seal_hash(block.header)
            self._own_proposal.block_built(block, digest)
            self._check_own_block(block, digest)

    def _check_own_block(self, block: Block, digest: bytes) -> None:
        """Have our own block checked like a block of others.

        A block that the others refuse would cost the whole round. A second execution costs less.
        """
        self._out.append(CheckProposal(digest, block, self.round.number))

    def _propose_in_later_round(self, messages: Sequence[RoundChange]) -> None:
        """Propose in a later round that a quorum asks for: the block prepared last, or a new one."""
        # The best block must be chosen from the messages that are in the certificate. The others choose it from the
        # certificate and refuse another block.
        justification = tuple(messages[: self.committee.quorum])
        draft = ProposalDraft.from_round_changes(justification)
        best = best_prepared(justification)
        if best is None:
            self._own_proposal.start_block(draft)
            self._request_block()
            return
        # Only the round in the extra data changes. Another block here could contradict a commit that a validator sent
        # for the prepared block, and two blocks could become final.
        block = with_round(best.block, self.round.number)
        digest = committed_seal_hash(block.header)
        self._own_proposal.propose_prepared(draft.with_block(block, digest))
        self._check_own_block(block, digest)

    def _own_block_checked(self, failure: str | None) -> None:
        if failure is not None:
            self._own_proposal.check_failed()
            self._log("own-proposal-invalid", f"our block for {self.round.id} is invalid: {failure}")
        elif self.round.proposal is None:
            draft = self._own_proposal.check_passed()
            assert draft.digest is not None
            # Before the signature: after a crash this validator must propose this block again. A signed digest without
            # its block would leave the round without a proposal.
            self._out.append(RecordDraft(self.round.id, draft))
            self._sign(ProposalPayload(self.round.id, draft.digest))

    # -- proposals of others -------------------------------------------------------------------------------------

    def _receive_proposal(self, proposal: Proposal) -> None:
        """Check a proposal for this round, or for a later round. A later one is valid only with its certificate."""
        try:
            if self._has_proposed(proposal):
                return
            check_proposal(self.committee, proposal)
            check_creator(proposal)
        except MessageRefusedError as refusal:
            self._refuse_and_blame(proposal, str(refusal))
            return
        # Only now this counts as the first proposal of its proposer. The certificate is not signed by the proposer: a
        # peer that passes the proposal on can replace it. Counting earlier would let that peer use up the round.
        self._first_proposals[round_id_of(proposal).round] = proposal.signed.payload
        self._request_check(proposal)

    def _request_check(self, proposal: Proposal) -> None:
        digest = proposal.signed.payload.digest
        self._checks[digest] = proposal
        self._out.append(CheckProposal(digest, proposal.block, round_id_of(proposal).round))
        # Each check holds a whole block. The bound keeps validators of many rounds from filling the memory.
        if len(self._checks) > MAX_PROPOSALS_CHECKED:
            del self._checks[min(self._checks, key=lambda checked: round_id_of(self._checks[checked]).round)]

    def _has_proposed(self, proposal: Proposal) -> bool:
        """Whether the proposer of that round has made a proposal before, even an invalid one.

        Raises MessageRefusedError if a second proposal is not signed by the proposer of its round.
        """
        payload = proposal.signed.payload
        first = self._first_proposals.get(payload.round_id.round)
        if first is None:
            return False
        # Before the equivocation is logged: another author must not be able to accuse the proposer.
        check_proposal_payload(self.committee, proposal.signed, payload.round_id)
        if first != payload:
            self._log("equivocation", f"0x{proposal.signed.author.hex()} proposed two blocks for {payload.round_id}")
        return True

    def _proposal_checked(self, digest: bytes, failure: str | None) -> None:
        """Handle the answer to a check of our own block or of the block of another proposer."""
        proposal = self._checks.pop(digest, None)
        if self._own_proposal.is_checking(digest):
            self._own_block_checked(failure)
        elif proposal is not None and failure is not None:
            self._log_refusal(proposal, failure)
        elif proposal is not None and self.importing is None:
            # Only a valid block may take us to a later round. Entering before the check would let a proposer of a later
            # round end the current one with a bad block.
            round_ = round_id_of(proposal).round
            if round_ > self.round.number:
                self._enter_round(round_)
            if round_ == self.round.number and self.round.proposal is None:
                self._accept(proposal)

    def _accept(self, proposal: Proposal) -> None:
        self.round.accept(proposal)
        self._first_proposals[self.round.number] = proposal.signed.payload
        # The proposal counts as the proposer's prepare. The others refuse a prepare of the proposer.
        if not self._is_proposer:
            self._sign(PreparePayload(self.round.id, proposal.signed.payload.digest))
        # Prepares and commits may have come before the proposal.
        self._advance()

    # -- prepares and commits ------------------------------------------------------------------------------------

    def _count_vote(self, vote: Prepare | Commit) -> None:
        if isinstance(vote, Prepare):
            reason = self.round.add_prepare(vote.signed)
        else:
            reason = self.round.add_commit(vote.signed)
        if reason is not None:
            self._log_refusal(vote, reason)
        self._advance()

    def _keep_early_vote(self, vote: Prepare | Commit) -> None:
        self._early_votes.add(vote)

    def _advance(self) -> None:
        """Record and commit a block that a quorum has prepared. Import a block that a quorum has committed. Each once."""
        proposal, digest = self.round.proposal, self.round.digest
        if proposal is None or digest is None:
            return
        if self.round.is_prepared and (self.prepared is None or self.prepared.round < self.round.number):
            self.prepared = self.round.prepared_block
            # The proof is on disk before the commit is signed. A validator that commits, crashes and forgets the block
            # could help to prepare another block in a later round, and two blocks could become final.
            self._out.append(RecordPrepared(self.prepared))
            self._sign(CommitPayload(self.round.id, digest))
        # q commits decide even if this validator lacks prepares: they may have been lost on the way.
        if self.round.is_committed and self.importing is None and digest not in self._not_importable:
            self.importing = digest
            self._out.append(ImportBlock(digest, with_seals(proposal.block, self.round.seals)))

    def _import_failed(self, digest: bytes, reason: str) -> None:
        """Go on after an agreed block could not be imported.

        The block is not imported again in this round: every further commit would start the import again. Synchronisation
        or the next round brings the block. The round timer starts again, because it was ignored during the import.
        """
        if self.importing == digest:
            self.importing = None
            self._not_importable.add(digest)
            self._log("import-failed", f"block {self.number} was agreed on but not imported: {reason}")
            self._out.append(self.timers.start_round(self.round.number, self._now_ms))

    # -- changing rounds -----------------------------------------------------------------------------------------

    def _round_timer_expired(self) -> None:
        """Leave a round that took too long, and ask the others for the next one."""
        # A decided block is final. A round change now would say that this validator still looks for agreement.
        if self.importing is not None or self.round.number >= MAX_ROUND:
            return
        next_timer = self.timers.next_round_timer()
        if next_timer is not None:
            # A part of a long round has passed. Messages may have been lost in an outage, so all are sent again.
            self._out += [next_timer, *self._sent_messages.resend()]
            return
        self._log("round-expired", f"no agreement in {self.round.id}: {self.missing}")
        self._enter_round(self.round.number + 1)
        self._send_round_change()

    def _enter_round(self, number: int) -> None:
        """Leave the current round for round `number`. The prepared block of the height is kept."""
        self.round = Round(self.committee, number)
        self._sent_messages = SentMessages(self._others)
        self._own_proposal = OwnProposal()
        # A check for this round or a later one is still useful: its answer may bring the proposal.
        self._checks = {digest: kept for digest, kept in self._checks.items() if round_id_of(kept).round >= number}
        self._first_proposals = {
            round_: payload for round_, payload in self._first_proposals.items() if round_ >= number
        }
        self.round_changes.remove_below(number)
        self._out.append(self.timers.start_round(number, self._now_ms))
        # After everything else is new: a vote may already complete this round.
        for vote in self._early_votes.pop_up_to(number):
            self._count_vote(vote)

    def _send_round_change(self) -> None:
        """Ask the others to come to the current round."""
        # The prepared block must be in it. A quorum of round changes without it would allow a new block, although a
        # quorum may have committed the prepared one.
        self._round_change_block = self.prepared
        certificate = None if self.prepared is None else self.prepared.certificate
        self._sign(RoundChangePayload(self.round.id, certificate))

    def _receive_round_change(self, message: RoundChange) -> None:
        try:
            check_round_change(self.committee, message)
        except MessageRefusedError as refusal:
            self._refuse_and_blame(message, str(refusal))
            return
        if self.round_changes.add(message):
            self._follow_round_changes(round_id_of(message).round)

    def _follow_round_changes(self, target: int) -> None:
        """Go to round `target` if a quorum asks for it, or to the round that f+1 validators have reached.

        The source is the round change of the IBFT 2.0 paper. Besu has the rule with f+1 for QBFT only.
        """
        if self.importing is not None or target <= 0:
            return
        messages = self.round_changes.messages(target)
        if len(messages) < self.committee.quorum:
            # At least one of f+1 validators is correct, so its timer has really expired. Fewer than f+1 could all be
            # faulty, and they could push the network from round to round.
            wanted = self.round_changes.wanted_by(self.committee.max_faulty + 1, above=self.round.number)
            if wanted is not None and wanted <= MAX_ROUND:
                self._enter_round(wanted)
                self._send_round_change()
            return
        if target > self.round.number:
            self._enter_round(target)
            self._send_round_change()
        # The state `NONE` keeps the (q+1)th round change from starting a second proposal.
        if self._is_proposer and self._own_proposal.state is ProposerState.NONE and self.round.proposal is None:
            self._propose_in_later_round(messages)

    def _resend_to_author(self, message: Message) -> None:
        """Send our messages of the current round to the author of a message for an earlier round: the author lags."""
        if self.importing is None:
            self._out += self._sent_messages.resend_once_to(message.signed.author)

    # -- our own messages ----------------------------------------------------------------------------------------

    def _sign(self, payload: Payload) -> None:
        self._out.append(SignPayload(payload))

    def _payload_signed(self, signed: SignedPayload[Payload]) -> None:
        """Count and send our own message, which is in the journal and signed."""
        payload, signature, author = signed.payload, signed.signature, signed.author
        match payload:
            # Prepares and commits are sent even while the block is imported: slower validators may need them to decide.
            case PreparePayload():
                self._send_and_count(Prepare(SignedPayload(payload, signature, author)))
            case CommitPayload():
                self._send_and_count(Commit(SignedPayload(payload, signature, author)))
            case ProposalPayload() if self.importing is None:
                proposal = self._own_proposal.signed(SignedPayload(payload, signature, author))
                if proposal is not None:
                    self._out += self._sent_messages.send(proposal)
                    self._accept(proposal)
            case RoundChangePayload() if self.importing is None:
                # The block that was chosen with the payload: the receivers compare the block with the certificate.
                block = None if self._round_change_block is None else self._round_change_block.block
                message = RoundChange(SignedPayload(payload, signature, author), block)
                self._out += self._sent_messages.send(message)
                # Our own round change counts like any other. It may be the one that completes a quorum.
                if self.round_changes.add(message):
                    self._follow_round_changes(payload.round_id.round)

    def _send_and_count(self, vote: Prepare | Commit) -> None:
        self._out += self._sent_messages.send(vote)
        self._count_vote(vote)

    # -- explanations for operators ------------------------------------------------------------------------------

    @property
    def missing(self) -> str:
        """What the current round lacks, as a sentence for operators."""
        return "nothing: the agreed block is being imported" if self.importing else self.round.missing(self._address)

    def _log_refusal(self, message: Message, reason: str) -> None:
        kind, author = type(message).__name__, message.signed.author.hex()
        self._log(f"{kind.lower()}-refused", f"{kind} of 0x{author} for {round_id_of(message)} refused: {reason}")

    def _refuse_and_blame(self, message: Proposal | RoundChange, reason: str) -> None:
        """Log a refusal and blame the author.

        A proposal or a round change carries its own proof, so a correct author never sends one that is refused. The
        author of a refused vote is not blamed: a faulty proposer may have sent that author another block than us.
        """
        self._log_refusal(message, reason)
        self._out.append(BlamePeer(message.signed.author, f"{type(message).__name__} refused: {reason}"))

    def _log(self, topic: str, text: str) -> None:
        self._out.append(WriteLogLine(topic, text))

    def _drain(self) -> list[Effect]:
        effects, self._out = self._out, []
        return effects


class _When(Enum):
    """The round of a message, compared with the current round."""

    EARLIER = "earlier"
    CURRENT = "current"
    LATER = "later"


DISPATCH: dict[tuple[type[Message], _When], Callable[[HeightManager, Any], None]] = {
    (Proposal, _When.EARLIER): HeightManager._resend_to_author,
    (Proposal, _When.CURRENT): HeightManager._receive_proposal,
    (Proposal, _When.LATER): HeightManager._receive_proposal,
    (Prepare, _When.EARLIER): HeightManager._resend_to_author,
    (Prepare, _When.CURRENT): HeightManager._count_vote,
    (Prepare, _When.LATER): HeightManager._keep_early_vote,
    (Commit, _When.EARLIER): HeightManager._resend_to_author,
    (Commit, _When.CURRENT): HeightManager._count_vote,
    (Commit, _When.LATER): HeightManager._keep_early_vote,
    (RoundChange, _When.EARLIER): HeightManager._resend_to_author,
    (RoundChange, _When.CURRENT): HeightManager._receive_round_change,
    (RoundChange, _When.LATER): HeightManager._receive_round_change,
}
"""Which method handles a message. A test compares this table with the table in docs/spec/ibft2.md."""
