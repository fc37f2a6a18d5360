"""Agreement within one round: the own proposal, the accepted proposal, prepares and commits (Besu's `IbftRound`).

This file must not leave the round: `height_manager` decides that.
"""

from collections.abc import Sequence

from lacnode.consensus.bft.block_decision import BlockDecision
from lacnode.consensus.bft.committee import Committee
from lacnode.consensus.bft.effects import Effect, SendMessage, SignPayload
from lacnode.consensus.bft.journal import SignedAtHeight
from lacnode.consensus.bft.messages import Commit, Prepare, Proposal, RoundChange
from lacnode.consensus.bft.messages_of_others import MessagesOfOthers
from lacnode.consensus.bft.payloads import MessageKind, PreparePayload
from lacnode.consensus.bft.pool_search import PoolSearch
from lacnode.consensus.bft.proposal_builder import ProposalBuilder
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.refusals import log_refusal
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.consensus.bft.sent_messages import SentMessages


class RoundManager:
    """Round `number` of the validator `address` (20 bytes). `decision` and `timers` belong to the whole height.
    `prefers_round_zero` is the form of proposals (`protocol.BftProtocol.round_in_proposal`).

    The lists that methods return are effects, to be carried out in their order. `now_ms` is the wall clock in Unix
    milliseconds.
    """

    def __init__(
        self,
        protocol: BftProtocol,
        committee: Committee,
        address: bytes,
        decision: BlockDecision,
        timers: RoundTimers,
        prefers_round_zero: bool,
        number: int,
    ) -> None:
        self.round = Round(protocol, committee, number)
        self.builder = ProposalBuilder(
            protocol, self.round, timers, protocol.round_in_proposal(number, prefers_round_zero=prefers_round_zero)
        )
        self.pool_search = PoolSearch(self.round, timers)
        self.sent_messages = SentMessages(protocol.codec, frozenset(committee.validators) - {address})
        self._messages_of_others = MessagesOfOthers(protocol.codec, self.round)
        self._address = address
        self._validators = committee.validators
        self._decision = decision
        self._quorum = committee.quorum
        self._is_proposer = self.round.proposer == address
        self._prepares = protocol.proposer_prepares or not self._is_proposer

    # -- the own proposal ----------------------------------------------------------------------------------------

    def start_block_timer(self, signed: SignedAtHeight, timers: RoundTimers, now_ms: int) -> list[Effect]:
        """Return the effects that wait for the time of the block, to build it or to search the pool. Empty if the round
        needs no such timer. `signed` is the content of the journal: if it shows that this round had a proposal before a
        restart, the round waits no longer for transactions, and the only effect is its new round timer, if it has one.
        """
        kinds = MessageKind.PROPOSAL, MessageKind.PREPARE
        if self.round.has_proposal or any(signed.signed_content(kind, self.round.number) is not None for kind in kinds):
            # The round had a valid proposal before the restart, so it does not wait for transactions.
            return list(timers.end_waiting(now_ms))
        if not self._is_proposer:
            return self.pool_search.start(now_ms)
        return [timers.start_first_block_timer(now_ms)] if self.round.number == 0 else []

    def block_timer_expired(self, now_ms: int) -> list[Effect]:
        """Return the effects that build the block, if this validator is the proposer, or that search the pool, if it is
        not. Empty for a proposer whose round has a proposal.
        """
        if not self._is_proposer:
            return self.pool_search.timer_expired(now_ms)
        return [] if self.round.has_proposal else self.builder.block_timer_expired(now_ms)

    def propose_in_later_round(self, round_changes: Sequence[RoundChange], now_ms: int) -> list[Effect]:
        """Return the effects that begin the proposal of this round, which is not round 0, if this validator is its
        proposer. Empty otherwise, and if the round has a proposal or one was begun. `round_changes` ask for this round.
        The caller has checked that they are at least a quorum.
        """
        # `may_begin` keeps the (q+1)th round change from starting a second proposal.
        if not self._is_proposer or not self.builder.may_begin or self.round.has_proposal:
            return []
        return self.builder.begin_later_round(round_changes[: self._quorum], now_ms)

    # -- proposals, prepares and commits ---------------------------------------------------------------------------

    def accept_proposal(self, proposal: Proposal) -> list[Effect]:
        """Accept a valid proposal. Return the effects: this validator signs its prepare, unless its proposal counts as
        one, and votes that came before the proposal are counted.
        """
        digest = proposal.signed.payload.digest
        self._messages_of_others.keep_proposal_for_sending(proposal)
        self.round.accept_proposal(proposal.block, digest, proposal.signed)
        # Where the proposal counts as the proposer's prepare, the others refuse a prepare of the proposer.
        prepare: list[Effect] = [SignPayload(PreparePayload(self.round.id, digest))] if self._prepares else []
        # Prepares and commits may have come before the proposal.
        return [*prepare, *self._decision.commit_or_import(self.round)]

    def count_vote(self, vote: Prepare | Commit) -> list[Effect]:
        """Count a prepare or a commit of another author or our own. Return the effects: a log line if it is refused,
        and the next step if a quorum is complete.
        """
        reason = (
            self.round.add_prepare(vote.signed) if isinstance(vote, Prepare) else self.round.add_commit(vote.signed)
        )
        refused: list[Effect] = [] if reason is None else [log_refusal(vote, reason)]
        return [*refused, *self._decision.commit_or_import(self.round)]

    def send_vote(self, vote: Prepare | Commit) -> list[Effect]:
        """Count our own signed prepare or commit. Return the effects that send it, and those of `count_vote`."""
        return [*self.sent_messages.send(vote), *self.count_vote(vote)]

    # -- meeting again ---------------------------------------------------------------------------------------------

    def resend_to_all(self) -> list[SendMessage]:
        """Return the effects that send our messages of this round to all others again. Call it after each part of a
        long round. From then on the messages of others may be sent once more to each validator that connects."""
        self._messages_of_others.allow_sending_again()
        return self.sent_messages.resend()

    def resend_to(self, address: bytes, round_changes: Sequence[RoundChange]) -> list[SendMessage]:
        """Return the effects that send our messages and those of others to the validator at `address` (20 bytes), which has
        connected. `round_changes` are those of the highest round of each author. Empty if `address` is this node's, or
        that of no validator of this height.
        """
        if address == self._address or address not in self._validators:
            return []
        of_others = self._messages_of_others.send_to(address, self._address, round_changes)
        return [*self.sent_messages.resend_to(address), *of_others]

    # -- after a restart -------------------------------------------------------------------------------------------

    def restore_prepared(self) -> bool:
        """Accept the prepared block of this height as the proposal of this round, with its prepares, if it was prepared
        in this round. Return True then, and False otherwise.
        """
        prepared = self._decision.prepared
        if prepared is None or prepared.round != self.round.number:
            return False
        self.round.accept_proposal(prepared.block, prepared.digest, prepared.certificate.proposal)
        for prepare in prepared.certificate.prepares:
            self.round.add_prepare(prepare)
        return True

    def resend_signed(self, signed: SignedAtHeight, *, is_prepared: bool) -> list[Effect]:
        """Return the effects that sign again, and so send again, what the journal has for this round, the round change
        excepted. With `is_prepared` the proposal is excepted too, and the commit is signed even if the journal has none.

        The node may have stopped between the journal and the network. Signing the same payload again gives the same
        bytes, so no other validator sees a contradiction. `is_prepared`: the block of this round was prepared.
        """
        effects: list[Effect] = []
        draft = signed.signed_draft(self.round.number)
        if draft is not None and draft.digest is not None and not is_prepared:
            effects += self.builder.restore_signed(draft)
        digest = signed.signed_content(MessageKind.PREPARE, self.round.number)
        if digest is not None:
            effects.append(SignPayload(PreparePayload(self.round.id, digest)))
        # The commit is sent even if the journal has none: the proof is on disk, so the commit is the next step.
        if is_prepared:
            effects.append(SignPayload(self.round.own_commit))
        return effects
