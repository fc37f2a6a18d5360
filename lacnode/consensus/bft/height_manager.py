"""Agreement on one block: rounds until one of them commits (Besu's `IbftBlockHeightManager`).

The steps of a round have a fixed order. The proposer checks, records, signs and sends its block. A validator that finds
the block valid signs a prepare. With enough prepares the block is *prepared*: this is recorded on disk before the commit is
signed. With q commits the block is final and is imported. If the round lasts too long, the validator leaves it with a
round change. The round change shows the block prepared so far, if there is one. A later round proposes the block of the
highest prepared round that the round changes of its quorum show, and a new block only if they show none.

What differs from Besu, without being visible in any single message:

* A prepared block is kept for every way to leave a round, and across restarts.
* A validator commits only a block that it has seen prepared. Besu adds its own commit to a proposal at once.
* f+1 round changes for later rounds make this validator follow. A validator that lags or connects is sent our messages
  of the current round again, and one that connects also those of others.

`DISPATCH`, at the end of this file and in docs/spec/ibft2.md, says which method handles which message. The steps
inside one round are in `round_manager`. Methods append to a list of effects, and `handle` returns that list.
"""

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from lacnode.consensus.bft.block_decision import BlockDecision
from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.effects import Effect, WriteLogLine
from lacnode.consensus.bft.events import (
    BlockBuilt,
    BlockTimerExpired,
    Event,
    HeadChanged,
    ImportFailed,
    PayloadSigned,
    PeerConnected,
    PoolSearched,
    ProposalChecked,
    RoundTimerExpired,
    SigningRefused,
)
from lacnode.consensus.bft.journal import SignedAtHeight
from lacnode.consensus.bft.message_buffers import LaterRoundVotes
from lacnode.consensus.bft.messages import Commit, Message, Prepare, Proposal, RoundChange, round_id_of
from lacnode.consensus.bft.own_round_change import OwnRoundChange
from lacnode.consensus.bft.payloads import (
    CommitPayload,
    MessageKind,
    Payload,
    PreparePayload,
    ProposalPayload,
    RoundChangePayload,
    SignedPayload,
)
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.received_proposals import ReceivedProposals
from lacnode.consensus.bft.refusals import log_refusal
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_change_manager import RoundChangeManager
from lacnode.consensus.bft.round_manager import RoundManager
from lacnode.consensus.bft.round_timers import RoundTimers

MAX_ROUND = 2**31 - 2
"""The last round. The wire has 32 signed bits for a round, and the round after this one must fit, too."""


class HeightManager:
    """The state machine of one height, for a validator. `signed` is the content of the journal for this height.

    `protocol` is the one of this height. `address` is the validator's own address (20 bytes). `head` is the parent of the
    block to agree on. `timers` are those of the height.
    """

    def __init__(
        self, protocol: BftProtocol, address: bytes, head: HeadChanged, signed: SignedAtHeight, timers: RoundTimers
    ) -> None:
        self._protocol = protocol
        self.committee = _committee_after(head, protocol)
        self.number = self.committee.height
        self.timers = timers
        self.round_changes = RoundChangeManager()
        self._address = address
        self._signed = signed
        self._decision = BlockDecision(signed.prepared)
        self._own_round_change = OwnRoundChange(protocol)
        self.received_proposals = ReceivedProposals(protocol.justifications)
        self._early_votes = LaterRoundVotes()
        self._now_ms = 0
        self._out: list[Effect] = []
        parts = protocol, self.committee, address, self._decision, self.timers, head.proposes_round_zero
        self._begin_round = partial(RoundManager, *parts)
        self._current = self._begin_round(signed.highest_round)

    @property
    def round(self) -> Round:
        """The current round."""
        return self._current.round

    @property
    def prepared(self) -> PreparedBlock | None:
        """The block of the highest round that this validator has seen prepared at this height. None if there is none."""
        return self._decision.prepared

    # -- input ---------------------------------------------------------------------------------------------------

    def start(self, now_ms: int) -> list[Effect]:
        """Start the height and return the effects. After a restart, go on in the highest round of the journal, and sign
        and send again what the journal has for that round.

        `now_ms` is the wall clock in Unix milliseconds."""
        self._now_ms = now_ms
        self._out.append(self.timers.start_round(self.round.number, now_ms))
        is_prepared = self._current.restore_prepared()
        if is_prepared and self.round.digest is not None:
            self.received_proposals.record_first_digest(self.round.number, self.round.digest)
        self._out += self._current.start_block_timer(self._signed, self.timers, now_ms)
        # If a block was prepared in this round, a quorum is in this round, and our round change is no longer needed.
        if self._signed.signed_content(MessageKind.ROUND_CHANGE, self.round.number) is not None and not is_prepared:
            self._send_round_change()
        self._out += self._current.resend_signed(self._signed, is_prepared=is_prepared)
        return self._drain()

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Return the effects of `event`. The list is empty if the event is about another height, or about a round that
        was left. Only a refused signature of a left round is logged.

        `now_ms` is the wall clock in Unix milliseconds."""
        self._now_ms = now_ms
        # A pattern such as `BlockBuilt(self.number, ...)` compares: an answer for another height or round does not match.
        match event:
            case BlockTimerExpired(self.number, self.round.number):
                self._out += self._current.block_timer_expired(now_ms)
            case RoundTimerExpired(self.number, self.round.number):
                self._round_timer_expired()
            case BlockBuilt(self.number, self.round.number, block):
                self._out += self._current.builder.block_built(block, now_ms)
            case PoolSearched(self.number, self.round.number, found):
                self._out += self._current.pool_search.search_finished(found, now_ms)
            # Any round: the check of a proposal for a later round is answered while we are still in an earlier one.
            case ProposalChecked(round_, digest, failure):
                self._proposal_checked(round_, digest, failure)
            # A signature for a round that was left stays in the journal and is never sent.
            case PayloadSigned(signed) if signed.payload.round_id == self.round.id:
                self._payload_signed(signed)
            case SigningRefused(payload, reason) if payload.round_id.sequence == self.number:
                self._log("not-signed", f"{type(payload).__name__} for {payload.round_id} was not signed: {reason}")
            case ImportFailed(self.number, digest, reason):
                self._import_failed(digest, reason)
            case PeerConnected(address):
                self._out += self._current.resend_to(address, self.round_changes.highest_of_each_author())
        return self._drain()

    def handle_message(self, message: Message, now_ms: int) -> list[Effect]:
        """Return the effects of a message of this height that another of its validators signed. The caller has checked
        its proofs. The list is empty if nothing follows from it.

        `now_ms` is the wall clock in Unix milliseconds."""
        self._now_ms = now_ms
        round_ = round_id_of(message).round
        when = _When.EARLIER if round_ < self.round.number else _When.LATER
        DISPATCH[type(message), _When.CURRENT if round_ == self.round.number else when](self, message)
        return self._drain()

    # -- proposals -----------------------------------------------------------------------------------------------

    def _receive_proposal(self, proposal: Proposal) -> None:
        """Ask for the check of a proposal for this round, or for a later round."""
        # Before its check is answered: a block that takes very long to check must not keep the round waiting for an empty
        # one. The check ends with the round.
        if round_id_of(proposal).round == self.round.number:
            self._out += self.timers.end_waiting(self._now_ms)
        self._out += self.received_proposals.examine(proposal)

    def _proposal_checked(self, round_: int, digest: bytes, failure: str | None) -> None:
        """Handle the answer to a check of our own block or of the block of another proposer, for `round_`."""
        proposal = self.received_proposals.pop_checked(round_, digest)
        if round_ == self.round.number and self._current.builder.is_checking(digest):
            self._out += self._current.builder.block_checked(failure)
        elif proposal is not None and failure is not None:
            self._out.append(log_refusal(proposal, failure))
        elif proposal is not None and self._decision.importing is None:
            # Only a valid block may take us to a later round. Entering before the check would let a proposer of a later
            # round end the current one with a bad block.
            if round_ > self.round.number:
                self._enter_round(round_)
            if round_ == self.round.number and not self.round.has_proposal:
                self._accept(proposal)

    def _accept(self, proposal: Proposal) -> None:
        self.received_proposals.record_first_digest(self.round.number, proposal.signed.payload.digest)
        # The proposer waits no longer. If there is no agreement on its block, that must not last until an empty one is due.
        self._out += [*self.timers.end_waiting(self._now_ms), *self._current.accept_proposal(proposal)]

    # -- prepares and commits ------------------------------------------------------------------------------------

    def _count_vote(self, vote: Prepare | Commit) -> None:
        self._out += self._current.count_vote(vote)

    def _keep_early_vote(self, vote: Prepare | Commit) -> None:
        self._early_votes.add(vote)

    def _import_failed(self, digest: bytes, reason: str) -> None:
        """Go on after an agreed block could not be imported."""
        if self._decision.record_import_failure(digest):
            self._log("import-failed", f"block {self.number} was agreed on but not imported: {reason}")
            # The round timer starts again, because it was ignored during the import.
            self._out.append(self.timers.start_round(self.round.number, self._now_ms))
            self._out += self.timers.end_waiting(self._now_ms)

    # -- changing rounds -----------------------------------------------------------------------------------------

    def _round_timer_expired(self) -> None:
        """Leave a round that took too long, and ask the others for the next one."""
        # A decided block is final. A round change now would say that this validator still looks for agreement.
        if self._decision.importing is not None or self.round.number >= MAX_ROUND:
            return
        next_timer = self.timers.next_part_timer()
        if next_timer is not None:
            # A part of a long round has passed. Messages may have been lost in an outage, so all are sent again.
            self._out += [next_timer, *self._current.resend_to_all()]
            return
        self._log("round-expired", f"no agreement in {self.round.id}: {self.missing_text}")
        self._enter_round(self.round.number + 1)
        self._send_round_change()

    def _enter_round(self, number: int) -> None:
        """Leave the current round for round `number`. The prepared block of the height is kept."""
        self._current = self._begin_round(number)
        self.received_proposals.remove_below(number)
        self.round_changes.remove_below(number)
        self._out.append(self.timers.start_round(number, self._now_ms))
        # After everything else is new: a vote may already complete this round.
        for vote in self._early_votes.pop_for_round(number):
            self._count_vote(vote)

    def _send_round_change(self) -> None:
        """Ask the others to come to the current round."""
        self._out.append(self._own_round_change.request_signature(self.round.id, self.prepared))

    def _receive_round_change(self, message: RoundChange) -> None:
        if self.round_changes.add(message):
            self._follow_round_changes(round_id_of(message).round)

    def _follow_round_changes(self, target: int) -> None:
        """Go to round `target` if a quorum asks for it, or to the round that f+1 validators have reached.

        The source is the round change of the IBFT 2.0 paper. Besu has the rule with f+1 for QBFT only, as an option."""
        if self._decision.importing is not None or target <= 0:
            return
        messages = self.round_changes.messages_for_round(target)
        if len(messages) < self.committee.quorum:
            # At least one of f+1 validators is correct, so its timer has really expired. Fewer than f+1 could all be
            # faulty, and they could push the network from round to round.
            wanted = self.round_changes.highest_round_wanted_by(self.committee.max_faulty + 1, above=self.round.number)
            if wanted is not None and wanted <= MAX_ROUND:
                self._enter_round(wanted)
                self._send_round_change()
            return
        if target > self.round.number:
            self._enter_round(target)
            self._send_round_change()
        waits_no_longer = self.timers.end_waiting(self._now_ms)
        self._out += [*waits_no_longer, *self._current.propose_in_later_round(messages, self._now_ms)]

    def _resend_to_author(self, message: Message) -> None:
        """Send our messages of the current round to the author of a message for an earlier round: the author lags."""
        if isinstance(message, Proposal):
            self.received_proposals.record_digest_of_left_round(message)
        if self._decision.importing is None:
            self._out += self._current.sent_messages.resend_once_to(message.signed.author)

    # -- our own messages ----------------------------------------------------------------------------------------

    def _payload_signed(self, signed: SignedPayload[Payload]) -> None:
        """Count and send our own message, which is in the journal and signed."""
        payload, signature, author = signed.payload, signed.signature, signed.author
        match payload:
            # Prepares and commits are sent even while the block is imported: slower validators may need them to decide.
            case PreparePayload():
                self._out += self._current.send_vote(Prepare(SignedPayload(payload, signature, author)))
            case CommitPayload():
                self._out += self._current.send_vote(Commit(SignedPayload(payload, signature, author)))
            case ProposalPayload() if self._decision.importing is None:
                proposal = self._current.builder.payload_signed(SignedPayload(payload, signature, author))
                if proposal is not None:
                    self._out += self._current.sent_messages.send(proposal)
                    self._accept(proposal)
            case RoundChangePayload() if self._decision.importing is None:
                self._round_change_signed(SignedPayload(payload, signature, author))

    def _round_change_signed(self, signed: SignedPayload[RoundChangePayload]) -> None:
        message = self._own_round_change.payload_signed(signed)
        self._out += self._current.sent_messages.send(message)
        # Our own round change counts like any other. It may be the one that completes a quorum.
        if self.round_changes.add(message):
            self._follow_round_changes(round_id_of(message).round)

    # -- explanations for operators ------------------------------------------------------------------------------

    @property
    def missing_text(self) -> str:
        """What the current round lacks, as a sentence for operators."""
        if self._decision.importing:
            return "nothing: the agreed block is being imported"
        return self.round.describe_missing(self._address)

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


def _committee_after(head: HeadChanged, protocol: BftProtocol) -> Committee:
    creator = head.last_proposer or head.header.coinbase
    if head.follows_goquorum and head.header.number == 0:
        # GoQuorum sees no creator in a genesis block. Its coinbase does not matter.
        creator = bytes(20)
    number = head.header.number + 1
    return Committee(
        number, head.validators, creator, protocol.proposer_prepares, head.follows_goquorum, head.proposers
    )
