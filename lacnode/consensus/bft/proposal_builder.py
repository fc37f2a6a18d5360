"""Makes the own proposal of one round: builds the block or takes the prepared one, has it checked, and asks to sign it.

The states of the own proposal are in `own_proposal`. This file must not decide whether this validator may propose:
`height_manager` decides that.
"""

from collections.abc import Sequence

from lacnode.consensus.bft.blocks import with_round
from lacnode.consensus.bft.effects import BuildBlock, CheckProposal, Effect, RecordDraft, SignPayload, WriteLogLine
from lacnode.consensus.bft.messages import Proposal, RoundChange
from lacnode.consensus.bft.own_proposal import OwnProposal, ProposerState
from lacnode.consensus.bft.payloads import ProposalPayload, SignedPayload
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.round import Round
from lacnode.consensus.bft.round_timers import RoundTimers
from lacnode.primitives.block import Block


class ProposalBuilder:
    """The own proposal for `round_`. `timers` are those of the height. The lists that methods return are effects, to be
    carried out in their order.

    `round_in_block` is the round in the extra data of the proposed block. `now_ms` is the wall clock in Unix
    milliseconds.
    """

    def __init__(self, protocol: BftProtocol, round_: Round, timers: RoundTimers, round_in_block: int) -> None:
        self._protocol = protocol
        self._round = round_
        self._timers = timers
        self._round_in_block = round_in_block
        self._own = OwnProposal()

    @property
    def may_begin(self) -> bool:
        """Whether no proposal was begun, or the last one was invalid."""
        return self._own.state is ProposerState.NONE

    def block_timer_expired(self, now_ms: int) -> list[Effect]:
        """Begin the proposal of round 0, unless it was begun before: that of a later round begins in `begin_later_round`.
        While a new block is to be built, in any round, return the effect that builds the block, or that waits until a
        block may follow its parent. Empty if no proposal has begun, and once the block is built."""
        # Later rounds start their block in `begin_later_round`: they need a quorum of round changes first.
        if self.may_begin and self._round.number == 0:
            self._own.start_block(ProposalDraft())
        return self._request_block(now_ms) if self._own.state is ProposerState.BUILDING else []

    def begin_later_round(self, round_changes: Sequence[RoundChange], now_ms: int) -> list[Effect]:
        """Begin the proposal of a later round with `round_changes`, which are those of exactly a quorum. It proposes
        the block prepared in the highest round that they show, or a new one. Return the effects that check that block,
        build the new one, or wait until a new one may follow its parent. Raises KeyError unless `may_begin`."""
        # The best block must be chosen from the messages that are in the justification. The others choose it from the
        # justification and refuse another block.
        draft = ProposalDraft(self._protocol.justifications.justification(round_changes))
        best = self._protocol.justifications.best_prepared(round_changes)
        if best is None:
            self._own.start_block(draft)
            return self._request_block(now_ms)
        # Only the round in the extra data changes. Another block here could contradict a commit that a validator sent
        # for the prepared block, and two blocks could become final.
        block = with_round(self._protocol, best.block, self._round_in_block)
        digest = self._protocol.committed_seal_hash(block.header)
        self._own.propose_prepared(draft.with_block(block, digest))
        return [self._check(block, digest, is_prepared=True)]

    def block_built(self, block: Block, now_ms: int) -> list[Effect]:
        """Return the effect that has the new block checked. If a block without transactions may not be proposed yet in
        round 0, return the timer of the next try instead. Empty if no block is expected.
        """
        if self._own.state is not ProposerState.BUILDING:
            return []
        # Later rounds do not wait: the others have waited for a block already.
        if self._round.number == 0 and not block.transactions:
            waiting = self._timers.start_empty_block_timer(now_ms)
            if waiting is not None:
                return [waiting]
        if self._round_in_block != self._round.number:
            block = with_round(self._protocol, block, self._round_in_block)
        digest = self._protocol.committed_seal_hash(block.header)
        self._own.block_built(block, digest)
        return [self._check(block, digest, is_prepared=False)]

    def is_checking(self, digest: bytes) -> bool:
        """Whether the answer to the check of the block with this digest (32 bytes) is expected."""
        return self._own.is_checking(digest)

    def block_checked(self, failure: str | None) -> list[Effect]:
        """Return the effects that record the draft and sign it, if `failure` is None. They are empty if the round has a
        proposal already. With a `failure` (a text) they log why this node's own block is invalid, and another proposal
        may begin. Call it only while the check of the block is awaited (`is_checking`): otherwise it may raise KeyError.
        """
        if failure is not None:
            self._own.check_failed()
            return [WriteLogLine("own-proposal-invalid", f"our block for {self._round.id} is invalid: {failure}")]
        if self._round.has_proposal:
            return []
        draft = self._own.check_passed()
        # Before the signature: after a crash this validator must propose this block again. A signed digest without its
        # block would leave the round without a proposal.
        return [RecordDraft(self._round.id, draft), self._sign(draft)]

    def restore_signed(self, draft: ProposalDraft) -> list[Effect]:
        """Return the effect that signs again the proposal that this validator signed before it restarted. Raises
        KeyError unless `may_begin`.
        """
        # No new check and no new record: both were done before the first signature.
        self._own.restore_signed(draft)
        return [self._sign(draft)]

    def payload_signed(self, payload: SignedPayload[ProposalPayload]) -> Proposal | None:
        """Return the message to send with the signed `payload`. None if `payload` is not the one that waits for its
        signature."""
        return self._own.payload_signed(payload)

    def _request_block(self, now_ms: int) -> list[Effect]:
        """Ask for a new block, or wait until a block may follow its parent."""
        timestamp = self._timers.timestamp_for_round(self._round.number, now_ms)
        if timestamp is None:
            # The other validators would refuse a block whose timestamp is too close to its parent's.
            return [self._timers.start_earliest_block_timer()]
        return [BuildBlock(self._round.id.sequence, self._round.number, timestamp)]

    def _check(self, block: Block, digest: bytes, *, is_prepared: bool) -> CheckProposal:
        """Have our own block checked like a block of others.

        A block that the others refuse would cost the whole round. A second execution costs less.
        """
        return CheckProposal(self._round.number, digest, block, is_prepared)

    def _sign(self, draft: ProposalDraft) -> SignPayload:
        assert draft.block is not None
        assert draft.digest is not None
        return SignPayload(self._protocol.justifications.proposal_payload(self._round.id, draft.digest, draft.block))
