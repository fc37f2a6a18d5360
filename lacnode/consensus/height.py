"""Agreement on one block: rounds until one of them commits (Besu's `IbftBlockHeightManager` and `IbftRound`).

The order of things in a round: the proposer's block is checked, signed and sent; a validator that finds it valid signs
a prepare; q-1 prepares make it *prepared*, which is recorded before the commit is signed; q commits finalise it. A
round that runs out of time is left with a round change, which shows the block prepared so far, if any, and that block alone
can be proposed from then on.

What differs from Besu, without being visible in any single message:

* a prepared block is kept whatever made the node leave the round, and across restarts;
* a validator commits only what it has seen prepared (Besu adds its own commit to a proposal at once);
* f+1 round changes for later rounds take the node along, and whoever lags or connects is sent our round change again.

Every method appends to a list of effects and returns it.
"""

from dataclasses import dataclass

from lacnode.consensus.block_hash import committed_seal_hash, with_round, with_seals
from lacnode.consensus.effects import (
    BuildBlock,
    CheckProposal,
    Effect,
    ImportBlock,
    Note,
    RecordPrepared,
    Send,
    SignPayload,
    StartBlockTimer,
    StartRoundTimer,
)
from lacnode.consensus.events import HeadChanged
from lacnode.consensus.journal import SignedAtHeight
from lacnode.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    RoundChangeCertificate,
    round_id_of,
)
from lacnode.consensus.payloads import (
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
from lacnode.consensus.prepared import PreparedBlock
from lacnode.consensus.round import Round
from lacnode.consensus.round_changes import RoundChangeBook
from lacnode.consensus.validation import (
    Committee,
    MessageRefused,
    best_certificate,
    best_prepared,
    check_proposal,
    check_proposal_payload,
    check_round_change,
)
from lacnode.primitives.block import Block

MAX_ROUND = 2**31 - 2
MAX_TIMER_DOUBLINGS = 16
"""Round timers double this often at most, so that a network that was down for a week is not down for another."""

MAX_EARLY_ROUNDS = 8
"""Later rounds per author whose prepares and commits are kept."""

MAX_PROPOSALS_CHECKED = 16
"""Proposals whose check has not been answered. More are refused: each needed a quorum's certificate to get here."""


@dataclass(slots=True)
class _Candidate:
    """What we are about to propose in the current round."""

    digest: bytes
    block: Block
    certificate: RoundChangeCertificate | None


class Height:
    """The machine of one height, for a validator."""

    def __init__(self, address: bytes, head: HeadChanged, signed: SignedAtHeight) -> None:
        number = head.header.number + 1
        self.committee = Committee(number, head.validators, head.header.coinbase)
        self.round = Round(self.committee, signed.round)
        self.prepared: PreparedBlock | None = signed.prepared
        self.importing: bytes | None = None
        self.round_changes = RoundChangeBook()
        self._address = address
        self._head = head
        self._signed = signed
        self._others = frozenset(head.validators) - {address}
        self._candidate: _Candidate | None = None
        self._building = False
        self._justification: tuple[RoundChange, ...] = ()
        self._shown: PreparedBlock | None = None
        self._checks: dict[bytes, Proposal] = {}
        self._early: dict[int, dict[bytes, list[Prepare | Commit]]] = {}
        self._own: dict[int, bytes] = {}
        self._reminded: set[bytes] = set()
        self._refused_imports: set[bytes] = set()
        self._out: list[Effect] = []

    @property
    def number(self) -> int:
        return self.committee.height

    @property
    def is_proposer(self) -> bool:
        return self.round.proposer == self._address

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, now_ms: int) -> list[Effect]:
        """Start the height; after a restart, in the round where the journal ends, saying again what was said."""
        self._start_round_timer()
        self._restore_prepared()
        if self.round.number == 0 and self.is_proposer and not self._has_signed(PROPOSAL):
            self._out.append(StartBlockTimer(self.number, 0, self._block_due_ms(now_ms)))
        self._say_again()
        return self._drain()

    def _restore_prepared(self) -> None:
        """A block prepared in the current round is still this round's proposal."""
        prepared = self.prepared
        if prepared is not None and prepared.round == self.round.number:
            self.round.accept(Proposal(prepared.certificate.proposal, prepared.block))
            for prepare in prepared.certificate.prepares:
                self.round.add_prepare(prepare)

    def _say_again(self) -> None:
        """Sign and send once more what the journal says we signed in this round: it may never have been sent."""
        number, id_ = self.round.number, self.round.id
        is_prepared = self.prepared is not None and self.prepared.round == number
        if self._has_signed(ROUND_CHANGE) and not is_prepared:
            self._ask_for_round(number)
        digest = self._signed.digest(PREPARE, number)
        if digest is not None:
            self._sign(PreparePayload(id_, digest))
        if is_prepared and self.round.digest is not None:
            self._sign(CommitPayload(id_, self.round.digest))

    def _has_signed(self, code: int) -> bool:
        return self._signed.digest(code, self.round.number) is not None

    # -- time ----------------------------------------------------------------------------------------------------

    def block_timer_expired(self, round_: int, now_ms: int) -> list[Effect]:
        """It is time to build this round's block, if it is ours to build."""
        if round_ == self.round.number and self.is_proposer and not self._is_proposing and self.importing is None:
            self._build(now_ms)
        return self._drain()

    def round_timer_expired(self, round_: int) -> list[Effect]:
        """The round took too long: ask for the next one, showing what has been prepared."""
        if round_ != self.round.number or self.importing is not None or round_ >= MAX_ROUND:
            return []
        self._note("round-expired", f"no agreement in {self.round.id}: {self._missing()}")
        self._enter(round_ + 1)
        self._ask_for_round(round_ + 1)
        return self._drain()

    def _missing(self) -> str:
        """What this round lacked, for people."""
        if self.round.proposal is None:
            return f"no valid proposal from 0x{self.round.proposer.hex()}"
        have, what = (self.round.commits, "commits") if self.round.is_prepared else (self.round.prepares, "prepares")
        silent = sorted(self._others - set(have) - {self.round.proposer})
        return f"{len(have)} {what}, none from " + ", ".join("0x" + address.hex() for address in silent)

    def _start_round_timer(self) -> None:
        delay = self._head.request_timeout_ms * 2 ** min(self.round.number, MAX_TIMER_DOUBLINGS)
        self._out.append(StartRoundTimer(self.number, self.round.number, delay))

    def _block_due_ms(self, now_ms: int) -> int:
        """When round 0's block is due. Below a second, header timestamps cannot tell, so the period runs from now."""
        period = self._head.block_period_ms
        return now_ms + period if period < 1000 else self._head.header.timestamp * 1000 + period

    # -- proposing -----------------------------------------------------------------------------------------------

    @property
    def _is_proposing(self) -> bool:
        return self._building or self._candidate is not None or self.round.proposal is not None

    def _build(self, now_ms: int) -> None:
        """Ask for a new block, or wait until one may follow its parent."""
        earliest = self._head.header.timestamp + self._head.block_period_ms // 1000
        timestamp = (now_ms + 500) // 1000 if self.round.number == 0 else now_ms // 1000
        if timestamp < earliest:
            self._out.append(StartBlockTimer(self.number, self.round.number, earliest * 1000))
            return
        self._building = True
        self._out.append(BuildBlock(self.number, self.round.number, timestamp))

    def block_built(self, round_: int, block: Block) -> list[Effect]:
        """Our new block is there."""
        if round_ == self.round.number and self._building:
            self._building = False
            self._check_candidate(block)
        return self._drain()

    def _check_candidate(self, block: Block) -> None:
        certificate = tuple(message.signed for message in self._justification) if self.round.number else None
        digest = committed_seal_hash(block.header)
        self._candidate = _Candidate(digest, block, certificate)
        self._out.append(CheckProposal(digest, block))

    def _propose_after_round_change(self, messages: list[RoundChange], now_ms: int) -> None:
        """A quorum wants this round and it is ours: propose the block prepared last, or a new one."""
        self._justification = tuple(messages[: self.committee.quorum])
        best = best_prepared(self._justification)
        if best is None:
            self._build(now_ms)
        else:
            self._check_candidate(with_round(best.block, self.round.number))

    def proposal_checked(self, digest: bytes, failure: str | None) -> list[Effect]:
        """The world has judged a block that we, or a proposer, want to propose."""
        candidate = self._candidate
        if candidate is not None and candidate.digest == digest and self.round.proposal is None:
            if failure is None:
                self._sign(ProposalPayload(self.round.id, digest))
            else:
                self._candidate = None
                self._note("own-proposal-invalid", f"our block for {self.round.id} is invalid: {failure}")
            return self._drain()
        proposal = self._checks.pop(digest, None)
        if proposal is not None:
            self._judge(proposal, failure)
        return self._drain()

    # -- messages ------------------------------------------------------------------------------------------------

    def message_received(self, message: Message, now_ms: int) -> list[Effect]:
        """A message of this height by another validator."""
        if isinstance(message, RoundChange):
            self._receive_round_change(message, now_ms)
        elif round_id_of(message).round < self.round.number:
            self._remind(message.signed.author)
        elif isinstance(message, Proposal):
            self._receive_proposal(message)
        elif round_id_of(message).round > self.round.number:
            self._keep_early(message)
        else:
            self._receive_vote(message)
        return self._drain()

    def _receive_proposal(self, proposal: Proposal) -> None:
        round_id = proposal.signed.payload.round_id
        if round_id.round == self.round.number:
            if self.round.announced is not None:
                if self.round.announced != proposal.signed:
                    self._note("equivocation", f"0x{proposal.signed.author.hex()} proposed two blocks for {round_id}")
                return
            try:
                check_proposal_payload(self.committee, proposal.signed, self.round.id)
            except MessageRefused as refusal:
                self._refuse(proposal, str(refusal))
                return
            self.round.announced = proposal.signed
        try:
            check_proposal(self.committee, proposal)
            self._check_creator(proposal)
        except MessageRefused as refusal:
            self._refuse(proposal, str(refusal))
            return
        if len(self._checks) < MAX_PROPOSALS_CHECKED:
            self._checks[proposal.signed.payload.digest] = proposal
            self._out.append(CheckProposal(proposal.signed.payload.digest, proposal.block))

    def _check_creator(self, proposal: Proposal) -> None:
        """A block that is proposed for the first time was created by its proposer.

        Besu does not look, so such a block may be final elsewhere and must import; but its votes and the rotation would
        count for somebody else, so we do not help to make it final.
        """
        is_new = proposal.certificate is None or best_certificate(proposal.certificate) is None
        if is_new and proposal.block.header.coinbase != proposal.signed.author:
            raise MessageRefused("a new block whose coinbase is not its proposer")

    def _judge(self, proposal: Proposal, failure: str | None) -> None:
        round_ = proposal.signed.payload.round_id.round
        if failure is not None:
            self._refuse(proposal, failure)
        elif round_ >= self.round.number and self.importing is None:
            if round_ > self.round.number:
                self._enter(round_)
            if self.round.proposal is None:
                self._accept(proposal)

    def _accept(self, proposal: Proposal) -> None:
        self.round.accept(proposal)
        if not self.is_proposer:
            self._sign(PreparePayload(self.round.id, proposal.signed.payload.digest))
        self._progress()

    def _receive_vote(self, message: Prepare | Commit) -> None:
        if isinstance(message, Prepare):
            reason = self.round.add_prepare(message.signed)
        else:
            reason = self.round.add_commit(message.signed)
        if reason is not None:
            self._refuse(message, reason)
        self._progress()

    def _keep_early(self, message: Prepare | Commit) -> None:
        author, round_ = message.signed.author, round_id_of(message).round
        rounds = [kept for kept, authors in self._early.items() if author in authors]
        if round_ in rounds or len(rounds) < MAX_EARLY_ROUNDS:
            kept = self._early.setdefault(round_, {}).setdefault(author, [])
            if len(kept) < 2:
                kept.append(message)

    def _progress(self) -> None:
        """Prepared and committed follow from the counts, whatever came last."""
        if self.round.is_prepared and (self.prepared is None or self.prepared.round < self.round.number):
            self.prepared = self.round.prepared_block
            self._out.append(RecordPrepared(self.prepared))
            assert self.round.digest is not None
            self._sign(CommitPayload(self.round.id, self.round.digest))
        digest = self.round.digest
        if self.round.is_committed and self.importing is None and digest not in self._refused_imports:
            assert self.round.proposal is not None
            self.importing = digest
            assert digest is not None
            self._out.append(ImportBlock(digest, with_seals(self.round.proposal.block, self.round.seals)))

    def import_failed(self, digest: bytes, reason: str) -> list[Effect]:
        """The agreed block could not be imported: not again in this round; sync or the next round helps."""
        if self.importing == digest:
            self.importing = None
            self._refused_imports.add(digest)
            self._note("import-failed", f"block {self.number} was agreed on but not imported: {reason}")
            self._start_round_timer()
        return self._drain()

    # -- changing rounds -----------------------------------------------------------------------------------------

    def _enter(self, number: int) -> None:
        """Leave the current round for `number`."""
        self.round = Round(self.committee, number)
        self._candidate, self._building, self._justification = None, False, ()
        self._own.clear()
        self._reminded.clear()
        self.round_changes.forget_below(number)
        self._start_round_timer()
        early = self._early.pop(number, {})
        self._early = {round_: kept for round_, kept in self._early.items() if round_ > number}
        for messages in early.values():
            for message in messages:
                self._receive_vote(message)

    def _ask_for_round(self, number: int) -> None:
        self._shown = self.prepared
        certificate = None if self.prepared is None else self.prepared.certificate
        self._sign(RoundChangePayload(self.committee.round_id(number), certificate))

    def _receive_round_change(self, message: RoundChange, now_ms: int) -> None:
        if round_id_of(message).round < self.round.number:
            self._remind(message.signed.author)
            return
        try:
            check_round_change(self.committee, message)
        except MessageRefused as refusal:
            self._refuse(message, str(refusal))
            return
        if self.round_changes.add(message):
            self._follow_round_changes(round_id_of(message).round, now_ms)

    def _follow_round_changes(self, target: int, now_ms: int) -> None:
        """A quorum starts a round, and f+1 take us along to theirs."""
        if self.importing is not None or target <= 0:
            return
        messages = self.round_changes.messages(target)
        if len(messages) >= self.committee.quorum:
            if target > self.round.number:
                self._enter(target)
                self._ask_for_round(target)
            if self.is_proposer and not self._is_proposing:
                self._propose_after_round_change(messages, now_ms)
            return
        wanted = self.round_changes.wanted_by(self.committee.max_faulty + 1, above=self.round.number)
        if wanted is not None and wanted <= MAX_ROUND:
            self._enter(wanted)
            self._ask_for_round(wanted)

    def _remind(self, author: bytes) -> None:
        """Somebody speaks of a round we have left: show where we are, once a round."""
        data = self._own.get(ROUND_CHANGE)
        if data is not None and author not in self._reminded:
            self._reminded.add(author)
            self._out.append(Send(ROUND_CHANGE, data, frozenset({author})))

    def peer_connected(self, address: bytes) -> list[Effect]:
        """A validator can be reached: it may have missed what we said in this round."""
        if address in self._others:
            for code, data in sorted(self._own.items()):
                self._out.append(Send(code, data, frozenset({address})))
        return self._drain()

    # -- our own messages ----------------------------------------------------------------------------------------

    def _sign(self, payload: Payload) -> None:
        self._out.append(SignPayload(payload))

    def payload_signed(self, signed: SignedPayload[Payload], now_ms: int) -> list[Effect]:
        """Our own message is in the journal and signed: it counts for us now, and may be sent."""
        payload = signed.payload
        if payload.round_id != self.round.id or self.importing is not None:
            return []
        match payload:
            case ProposalPayload():
                self._publish_proposal(SignedPayload(payload, signed.signature, signed.author))
            case PreparePayload():
                prepare = Prepare(SignedPayload(payload, signed.signature, signed.author))
                self._publish(prepare)
                self._receive_vote(prepare)
            case CommitPayload():
                commit = Commit(SignedPayload(payload, signed.signature, signed.author))
                self._publish(commit)
                self._receive_vote(commit)
            case RoundChangePayload():
                block = None if self._shown is None else self._shown.block
                message = RoundChange(SignedPayload(payload, signed.signature, signed.author), block)
                self._publish(message)
                if self.round_changes.add(message):
                    self._follow_round_changes(payload.round_id.round, now_ms)
        return self._drain()

    def signing_refused(self, payload: Payload, reason: str) -> list[Effect]:
        """We stay silent; if it was a proposal, the round will run out."""
        self._note("not-signed", f"{type(payload).__name__} for {payload.round_id} was not signed: {reason}")
        return self._drain()

    def _publish_proposal(self, signed: SignedPayload[ProposalPayload]) -> None:
        candidate = self._candidate
        if candidate is None or candidate.digest != signed.payload.digest:
            return
        proposal = Proposal(signed, candidate.block, candidate.certificate)
        self._publish(proposal)
        self._accept(proposal)

    def _publish(self, message: Message) -> None:
        data = message.encode()
        self._own[message.code] = data
        if self._others:
            self._out.append(Send(message.code, data, self._others))

    # -- saying what happens -------------------------------------------------------------------------------------

    def _refuse(self, message: Message, reason: str) -> None:
        kind = type(message).__name__
        self._note(
            f"{kind.lower()}-refused",
            f"{kind} of 0x{message.signed.author.hex()} for {round_id_of(message)} refused: {reason}",
        )

    def _note(self, topic: str, text: str) -> None:
        self._out.append(Note(topic, text))

    def _drain(self) -> list[Effect]:
        effects, self._out = self._out, []
        return effects
