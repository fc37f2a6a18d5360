"""Agreement on one block: rounds until one of them commits (Besu's `IbftBlockHeightManager` and `IbftRound`).

The order of things in a round: the proposer's block is checked, signed and sent; a validator that finds it valid signs
a prepare; q-1 prepares make it *prepared*, which is recorded before the commit is signed; q commits finalise it. A
round that runs out of time is left with a round change, which shows the block prepared so far, if any, and that block
alone can be proposed from then on.

What differs from Besu, without being visible in any single message:

* a prepared block is kept whatever made the node leave the round, and across restarts;
* a validator commits only what it has seen prepared (Besu adds its own commit to a proposal at once);
* f+1 round changes for later rounds take the node along, and whoever lags or connects is told again where we are.

Which message is for whom is a table, `DISPATCH`, at the end of this file and in docs/spec/ibft2.md. Methods add to a
list of effects, which `handle` returns.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from lacnode.consensus.block_hash import committed_seal_hash, with_round, with_seals
from lacnode.consensus.effects import (
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
from lacnode.consensus.events import (
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
from lacnode.consensus.ibft_messages import Commit, Message, Prepare, Proposal, RoundChange, round_id_of
from lacnode.consensus.ibft_payloads import (
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
from lacnode.consensus.journal import SignedAtHeight
from lacnode.consensus.message_buffers import LaterRoundVotes
from lacnode.consensus.message_validation import (
    Committee,
    MessageRefusedError,
    best_prepared,
    check_creator,
    check_proposal,
    check_proposal_payload,
    check_round_change,
)
from lacnode.consensus.prepared_block import PreparedBlock
from lacnode.consensus.proposal_draft import ProposalDraft
from lacnode.consensus.round import Round
from lacnode.consensus.round_change_manager import RoundChangeManager
from lacnode.consensus.round_timers import RoundTimers
from lacnode.consensus.sent_messages import SentMessages
from lacnode.primitives.block import Block

MAX_ROUND = 2**31 - 2
"""The last round: the wire's signed 32 bits must hold the one after it."""

MAX_PROPOSALS_CHECKED = 4
"""Proposals whose check has not been answered. With one more, that of the lowest round is given up: a quorum has asked
for every round after the current one that has a proposal, so the lowest is the least likely to matter."""


class HeightManager:
    """The machine of one height, for a validator; `signed` is what the journal knows of the height."""

    def __init__(self, address: bytes, head: HeadChanged, signed: SignedAtHeight) -> None:
        self.committee = Committee(head.header.number + 1, head.validators, head.header.coinbase)
        self.number = self.committee.height
        self.round = Round(self.committee, signed.round)
        self.clock = RoundTimers(head)
        self.prepared: PreparedBlock | None = signed.prepared
        self.importing: bytes | None = None
        """The digest of the agreed block, while it is being imported."""
        self.round_changes = RoundChangeManager()
        self._address = address
        self._signed = signed
        self._others = frozenset(head.validators) - {address}
        self._own = SentMessages(self._others)
        self._draft: ProposalDraft | None = None
        self._round_change_block: PreparedBlock | None = None
        self._checks: dict[bytes, Proposal] = {}
        """By digest, which names header and body: a body that is not the header's does not come this far."""
        self._first_proposals: dict[int, ProposalPayload] = {}
        """By round, from the current one on: what its proposer proposed first, valid block or not. It has no second
        try, so a proposer costs one check a round."""
        self._early = LaterRoundVotes()
        self._not_importable: set[bytes] = set()
        self._now_ms = 0
        self._out: list[Effect] = []

    # -- input ---------------------------------------------------------------------------------------------------

    def begin(self, now_ms: int) -> list[Effect]:
        """Start the height; after a restart, in the round where the journal ends, saying again what was said."""
        self._now_ms = now_ms
        self._out.append(self.clock.start_round(self.round.number, now_ms))
        self._restore_prepared()
        if self.round.number == 0 and self._is_proposer and not self._has_signed(PROPOSAL):
            self._out.append(self.clock.start_first_block_timer(now_ms))
        self._resend_signed()
        return self._drain()

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """What follows from `event`; nothing if it is about another height or a round that was left."""
        self._now_ms = now_ms
        match event:
            case BlockTimerExpired(self.number, self.round.number):
                self._block_timer_expired()
            case RoundTimerExpired(self.number, self.round.number):
                self._round_timer_expired()
            case BlockBuilt(self.number, self.round.number, block):
                self._block_built(block)
            case ProposalChecked(digest, failure):
                self._proposal_checked(digest, failure)
            case PayloadSigned(signed) if signed.payload.round_id == self.round.id:
                self._payload_signed(signed)
            case SigningRefused(payload, reason) if payload.round_id.sequence == self.number:
                self._note("not-signed", f"{type(payload).__name__} for {payload.round_id} was not signed: {reason}")
            case ImportFailed(self.number, digest, reason):
                self._import_failed(digest, reason)
            case PeerConnected(address):
                self._out += self._own.resend_to(address)
        return self._drain()

    def handle_message(self, message: Message, now_ms: int) -> list[Effect]:
        """What follows from a message of this height, signed by another of its validators."""
        self._now_ms = now_ms
        round_ = round_id_of(message).round
        when = _When.EARLIER if round_ < self.round.number else _When.LATER
        DISPATCH[type(message), _When.CURRENT if round_ == self.round.number else when](self, message)
        return self._drain()

    # -- beginning -----------------------------------------------------------------------------------------------

    def _restore_prepared(self) -> None:
        """A block prepared in the current round is still this round's proposal."""
        prepared = self.prepared
        if prepared is not None and prepared.round == self.round.number:
            self.round.accept(Proposal(prepared.certificate.proposal, prepared.block))
            self._first_proposals[self.round.number] = prepared.certificate.proposal.payload
            for prepare in prepared.certificate.prepares:
                self.round.add_prepare(prepare)

    def _resend_signed(self) -> None:
        """Sign and send once more what the journal says we signed in this round: it may never have been sent."""
        number, id_ = self.round.number, self.round.id
        is_prepared = self.prepared is not None and self.prepared.round == number
        if self._has_signed(ROUND_CHANGE) and not is_prepared:
            self._send_round_change()
        draft = self._signed.signed_draft(number)
        if draft is not None and draft.digest is not None and not is_prepared:
            self._draft = draft
            self._sign(ProposalPayload(id_, draft.digest))
        digest = self._signed.digest(PREPARE, number)
        if digest is not None:
            self._sign(PreparePayload(id_, digest))
        if is_prepared and self.round.digest is not None:
            self._sign(CommitPayload(id_, self.round.digest))

    def _has_signed(self, code: int) -> bool:
        return self._signed.digest(code, self.round.number) is not None

    # -- proposing -----------------------------------------------------------------------------------------------

    @property
    def _is_proposer(self) -> bool:
        return self.round.proposer == self._address

    def _block_timer_expired(self) -> None:
        """It is time to build this round's block, if it is ours to build and not in the making."""
        if self._is_proposer and self.round.proposal is None:
            if self._draft is None and self.round.number == 0:
                self._draft = ProposalDraft()
            if self._draft is not None and self._draft.block is None:
                self._build()

    def _build(self) -> None:
        """Ask for a new block, or wait until one may follow its parent."""
        timestamp = self.clock.timestamp(self.round.number, self._now_ms)
        if timestamp is None:
            self._out.append(self.clock.start_earliest_block_timer())
        else:
            self._out.append(BuildBlock(self.number, self.round.number, timestamp))

    def _block_built(self, block: Block) -> None:
        if self._draft is not None and self._draft.block is None:
            self._check_draft(self._draft, block)

    def _check_draft(self, draft: ProposalDraft, block: Block) -> None:
        """Our own block is checked like any other: what we would refuse from others we do not propose."""
        digest = committed_seal_hash(block.header)
        self._draft = draft.with_block(block, digest)
        self._out.append(CheckProposal(digest, block, self.round.number))

    def _propose_in_later_round(self, messages: Sequence[RoundChange]) -> None:
        """A quorum wants this round and it is ours: propose the block prepared last, or a new one."""
        justification = tuple(messages[: self.committee.quorum])
        self._draft = ProposalDraft.from_round_changes(justification)
        best = best_prepared(justification)
        if best is None:
            self._build()
        else:
            self._check_draft(self._draft, with_round(best.block, self.round.number))

    def _draft_checked(self, draft: ProposalDraft, failure: str | None) -> None:
        if failure is not None:
            self._draft = None
            self._note("own-proposal-invalid", f"our block for {self.round.id} is invalid: {failure}")
        elif self.round.proposal is None and draft.digest is not None:
            self._out.append(RecordDraft(self.round.id, draft))
            self._sign(ProposalPayload(self.round.id, draft.digest))

    # -- proposals -----------------------------------------------------------------------------------------------

    def _receive_proposal(self, proposal: Proposal) -> None:
        """A proposal for this round or, with its certificate, for a later one that it may take us to."""
        try:
            if self._has_proposed(proposal):
                return
            check_proposal(self.committee, proposal)
            check_creator(proposal)
        except MessageRefusedError as refusal:
            self._refuse_and_blame(proposal, str(refusal))
            return
        # Only here has the proposer spoken: whoever passes a proposal on can give it another certificate, and both
        # checks above depend on that.
        self._first_proposals[round_id_of(proposal).round] = proposal.signed.payload
        self._check(proposal)

    def _check(self, proposal: Proposal) -> None:
        """Have the block checked."""
        digest = proposal.signed.payload.digest
        self._checks[digest] = proposal
        self._out.append(CheckProposal(digest, proposal.block, round_id_of(proposal).round))
        if len(self._checks) > MAX_PROPOSALS_CHECKED:
            del self._checks[min(self._checks, key=lambda checked: round_id_of(self._checks[checked]).round)]

    def _has_proposed(self, proposal: Proposal) -> bool:
        """Whether the proposer of that round had its say: there is no second, even after an invalid block."""
        payload = proposal.signed.payload
        announced = self._first_proposals.get(payload.round_id.round)
        if announced is None:
            return False
        check_proposal_payload(self.committee, proposal.signed, payload.round_id)
        if announced != payload:
            self._note("equivocation", f"0x{proposal.signed.author.hex()} proposed two blocks for {payload.round_id}")
        return True

    def _proposal_checked(self, digest: bytes, failure: str | None) -> None:
        """The world has judged a block that we, or another proposer, want to propose."""
        proposal = self._checks.pop(digest, None)
        if self._draft is not None and self._draft.digest == digest:
            self._draft_checked(self._draft, failure)
        elif proposal is not None and failure is not None:
            self._refuse(proposal, failure)
        elif proposal is not None and self.importing is None:
            round_ = round_id_of(proposal).round
            if round_ > self.round.number:
                self._enter(round_)
            if round_ == self.round.number and self.round.proposal is None:
                self._accept(proposal)

    def _accept(self, proposal: Proposal) -> None:
        self.round.accept(proposal)
        self._first_proposals[self.round.number] = proposal.signed.payload
        if not self._is_proposer:
            self._sign(PreparePayload(self.round.id, proposal.signed.payload.digest))
        self._progress()

    # -- prepares and commits ------------------------------------------------------------------------------------

    def _count(self, vote: Prepare | Commit) -> None:
        if isinstance(vote, Prepare):
            reason = self.round.add_prepare(vote.signed)
        else:
            reason = self.round.add_commit(vote.signed)
        if reason is not None:
            self._refuse(vote, reason)
        self._progress()

    def _keep(self, vote: Prepare | Commit) -> None:
        self._early.add(vote)

    def _progress(self) -> None:
        """Record and commit what a quorum has prepared, import what a quorum has committed; each once."""
        proposal, digest = self.round.proposal, self.round.digest
        if proposal is None or digest is None:
            return
        if self.round.is_prepared and (self.prepared is None or self.prepared.round < self.round.number):
            self.prepared = self.round.prepared_block
            self._out.append(RecordPrepared(self.prepared))
            self._sign(CommitPayload(self.round.id, digest))
        if self.round.is_committed and self.importing is None and digest not in self._not_importable:
            self.importing = digest
            self._out.append(ImportBlock(digest, with_seals(proposal.block, self.round.seals)))

    def _import_failed(self, digest: bytes, reason: str) -> None:
        """The agreed block could not be imported: not again in this round; sync or the next round helps."""
        if self.importing == digest:
            self.importing = None
            self._not_importable.add(digest)
            self._note("import-failed", f"block {self.number} was agreed on but not imported: {reason}")
            self._out.append(self.clock.start_round(self.round.number, self._now_ms))

    # -- changing rounds -----------------------------------------------------------------------------------------

    def _round_timer_expired(self) -> None:
        """The round took too long: ask for the next one, showing what has been prepared."""
        if self.importing is not None or self.round.number >= MAX_ROUND:
            return
        again = self.clock.next_round_timer()
        if again is not None:
            self._out += [again, *self._own.resend()]
            return
        self._note("round-expired", f"no agreement in {self.round.id}: {self.missing}")
        self._enter(self.round.number + 1)
        self._send_round_change()

    def _enter(self, number: int) -> None:
        """Leave the current round for `number`."""
        self.round = Round(self.committee, number)
        self._own = SentMessages(self._others)
        self._draft = None
        self._checks = {digest: kept for digest, kept in self._checks.items() if round_id_of(kept).round >= number}
        self._first_proposals = {
            round_: payload for round_, payload in self._first_proposals.items() if round_ >= number
        }
        self.round_changes.remove_below(number)
        self._out.append(self.clock.start_round(number, self._now_ms))
        for vote in self._early.pop_up_to(number):
            self._count(vote)

    def _send_round_change(self) -> None:
        """Ask the others to come to the current round."""
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
            self._follow(round_id_of(message).round)

    def _follow(self, target: int) -> None:
        """A quorum starts round `target`, and f+1 take us along to theirs (IBFT 2.0 paper's round change; Besu's early
        round change, which came to QBFT only)."""
        if self.importing is not None or target <= 0:
            return
        messages = self.round_changes.messages(target)
        if len(messages) < self.committee.quorum:
            wanted = self.round_changes.wanted_by(self.committee.max_faulty + 1, above=self.round.number)
            if wanted is not None and wanted <= MAX_ROUND:
                self._enter(wanted)
                self._send_round_change()
            return
        if target > self.round.number:
            self._enter(target)
            self._send_round_change()
        if self._is_proposer and self._draft is None and self.round.proposal is None:
            self._propose_in_later_round(messages)

    def _remind(self, message: Message) -> None:
        """Somebody speaks of a round we have left: show where we are."""
        if self.importing is None:
            self._out += self._own.resend_once_to(message.signed.author)

    # -- our own messages ----------------------------------------------------------------------------------------

    def _sign(self, payload: Payload) -> None:
        self._out.append(SignPayload(payload))

    def _payload_signed(self, signed: SignedPayload[Payload]) -> None:
        """Our own message is in the journal and signed: it counts for us now, and may be sent. Of an agreed block only
        prepares and commits are still sent, as others may need them."""
        payload, signature, author = signed.payload, signed.signature, signed.author
        match payload:
            case PreparePayload():
                self._send_and_count(Prepare(SignedPayload(payload, signature, author)))
            case CommitPayload():
                self._send_and_count(Commit(SignedPayload(payload, signature, author)))
            case ProposalPayload() if self.importing is None and self._draft is not None:
                proposal = self._draft.proposal(SignedPayload(payload, signature, author))
                if proposal is not None:
                    self._out += self._own.send(proposal)
                    self._accept(proposal)
            case RoundChangePayload() if self.importing is None:
                block = None if self._round_change_block is None else self._round_change_block.block
                message = RoundChange(SignedPayload(payload, signature, author), block)
                self._out += self._own.send(message)
                if self.round_changes.add(message):
                    self._follow(payload.round_id.round)

    def _send_and_count(self, vote: Prepare | Commit) -> None:
        self._out += self._own.send(vote)
        self._count(vote)

    # -- saying what happens -------------------------------------------------------------------------------------

    @property
    def missing(self) -> str:
        """What the current round lacks, for people."""
        return "nothing: the agreed block is being imported" if self.importing else self.round.missing(self._address)

    def _refuse(self, message: Message, reason: str) -> None:
        kind, author = type(message).__name__, message.signed.author.hex()
        self._note(f"{kind.lower()}-refused", f"{kind} of 0x{author} for {round_id_of(message)} refused: {reason}")

    def _refuse_and_blame(self, message: Proposal | RoundChange, reason: str) -> None:
        """These messages prove themselves, so a correct author sends none that is refused. A vote may be refused without
        a fault of its author: a proposer that lies shows it another block than us."""
        self._refuse(message, reason)
        self._out.append(BlamePeer(message.signed.author, f"{type(message).__name__} refused: {reason}"))

    def _note(self, topic: str, text: str) -> None:
        self._out.append(WriteLogLine(topic, text))

    def _drain(self) -> list[Effect]:
        effects, self._out = self._out, []
        return effects


class _When(Enum):
    """A message's round beside the current one."""

    EARLIER = "earlier"
    CURRENT = "current"
    LATER = "later"


DISPATCH: dict[tuple[type[Message], _When], Callable[[HeightManager, Any], None]] = {
    (Proposal, _When.EARLIER): HeightManager._remind,
    (Proposal, _When.CURRENT): HeightManager._receive_proposal,
    (Proposal, _When.LATER): HeightManager._receive_proposal,
    (Prepare, _When.EARLIER): HeightManager._remind,
    (Prepare, _When.CURRENT): HeightManager._count,
    (Prepare, _When.LATER): HeightManager._keep,
    (Commit, _When.EARLIER): HeightManager._remind,
    (Commit, _When.CURRENT): HeightManager._count,
    (Commit, _When.LATER): HeightManager._keep,
    (RoundChange, _When.EARLIER): HeightManager._remind,
    (RoundChange, _When.CURRENT): HeightManager._receive_round_change,
    (RoundChange, _When.LATER): HeightManager._receive_round_change,
}
"""Where a message goes. A test holds this table and the one in docs/spec/ibft2.md together."""
