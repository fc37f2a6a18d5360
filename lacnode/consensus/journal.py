"""What this validator has signed at the heights still open, and what it may therefore not sign.

Every payload passes here before it is signed: `admit` either refuses it or returns a record that must be durable before
the signature is made. After a crash `Journal.restore` reads the records back, and nothing that was said is unsaid. Besu
keeps all this in memory only.

The journal knows nothing about quorums. What it enforces is what nobody may ever do, whatever the network looks like:

* two proposals, two prepares or two commits for one height and round;
* anything for a round that it has asked to leave;
* a commit for a block that has not been recorded as prepared;
* a round change that hides a block which was prepared, or two different ones for one round;
* anything at a height that is finished;
* anything while it is not known what was signed before, and then anything up to a height that says so (the floor).

The records are RLP lists: `[0, code, sequence, round, content]` for a payload, `[1, prepared block]`, `[2, number]` for
the highest finished height, `[3, sequence, round, draft]` for the block to be proposed in a round, `[4, reason]` for a loss:
records are missing; `[5, number]` settles it: what was signed and forgotten is at heights up to `number`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lacnode.consensus.ibft_payloads import (
    COMMIT,
    PREPARE,
    PROPOSAL,
    ROUND_CHANGE,
    CommitPayload,
    Payload,
    RoundChangePayload,
    RoundId,
)
from lacnode.consensus.prepared_block import PreparedBlock
from lacnode.consensus.proposal_draft import ProposalDraft
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpFields

_SIGNED, _PREPARED, _FINISHED, _DRAFT, _LOST, _FLOOR = b"", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"


def encode_loss(reason: str) -> bytes:
    """The record that says that records are missing: why, in words. Also the first one of a log that replaces a lost one."""
    return rlp.encode([_LOST, reason.encode()])


class ContradictionError(Exception):
    """The payload contradicts what was signed before; it must never be signed. The text says how."""


@dataclass(slots=True)
class SignedAtHeight:
    """What was signed at one height. `contents` has the digest of each proposal, prepare and commit by (code, round),
    and the encoded payload of each round change; `prepared` is the block prepared in the highest round; `draft` is the
    last block that was to be proposed, with its round: signed or not, which `contents` knows."""

    contents: dict[tuple[int, int], bytes] = field(default_factory=dict)
    prepared: PreparedBlock | None = None
    draft: tuple[int, ProposalDraft] | None = None

    @property
    def highest_requested_round(self) -> int:
        """The highest round asked for by a round change: rounds below it have been left."""
        return max((round_ for code, round_ in self.contents if code == ROUND_CHANGE), default=0)

    @property
    def round(self) -> int:
        """The highest round in which anything was signed or prepared: where to go on after a restart."""
        prepared = 0 if self.prepared is None else self.prepared.round
        return max([prepared, *(round_ for _, round_ in self.contents)])

    def digest(self, code: int, round_: int) -> bytes | None:
        """What was signed for (code, round), if anything."""
        return self.contents.get((code, round_))

    def signed_draft(self, round_: int) -> ProposalDraft | None:
        """What was proposed in `round_`, if its proposal was signed and its block recorded."""
        if self.draft is None or self.draft[0] != round_ or self.draft[1].digest != self.digest(PROPOSAL, round_):
            return None
        return self.draft[1]


class Journal:
    """The memory of one validator."""

    def __init__(self) -> None:
        self._finished = -1
        self._loss: str | None = None
        self._floor = -1
        self._heights: dict[int, SignedAtHeight] = {}

    @classmethod
    def restore(cls, records: Iterable[bytes]) -> "Journal":
        """The journal that wrote `records`; RlpError if one of them is not a record."""
        journal = cls()
        for record in records:
            journal._replay(RlpFields(rlp.decode_list(record, "record"), "record"))
        return journal

    @property
    def loss(self) -> str | None:
        """Why it is not known what was signed before; None if it is known."""
        return self._loss

    @property
    def floor(self) -> int:
        """The highest height at which something may have been signed that was forgotten; -1 if there is none."""
        return self._floor

    def signed_at(self, height: int) -> SignedAtHeight:
        """What was signed at `height`; empty if nothing was."""
        return self._heights.get(height, SignedAtHeight())

    def admit(self, payload: Payload) -> bytes:
        """The record to make durable before `payload` is signed; Contradiction if it must not be signed.

        Signing the same payload once more is no contradiction: the signature is the same.
        """
        sequence, round_ = payload.round_id.sequence, payload.round_id.round
        if sequence <= self._finished:
            raise ContradictionError(f"block {sequence} is final")
        if self._loss is not None:
            raise ContradictionError(f"what was signed before is not known: {self._loss}")
        if sequence <= self._floor:
            raise ContradictionError(f"another message may have been signed for block {sequence} and forgotten")
        signed = self.signed_at(sequence)
        content = _content(payload)
        before = signed.digest(payload.code, round_)
        if before is not None and before != content:
            raise ContradictionError(f"another message of this kind was signed for {payload.round_id}")
        if before is None:
            self._check_left(signed, payload)
            self._check_vote(signed, payload, content)
            self._check_commit(signed, payload)
            self._check_prepared(signed, payload)
        self._remember(payload.code, payload.round_id, content)
        return rlp.encode([_SIGNED, rlp.scalar(payload.code), *payload.round_id.fields(), content])

    def record_prepared(self, prepared: PreparedBlock) -> bytes:
        """The record to make durable before the commit for `prepared` is signed."""
        self._remember_prepared(prepared)
        return rlp.encode([_PREPARED, prepared.encode()])

    def record_draft(self, round_id: RoundId, draft: ProposalDraft) -> bytes:
        """The record to make durable before the proposal of `draft` is signed."""
        self._heights.setdefault(round_id.sequence, SignedAtHeight()).draft = (round_id.round, draft)
        return rlp.encode([_DRAFT, *round_id.fields(), draft.encode()])

    def record_loss(self, reason: str) -> bytes:
        """The record to make durable when records turn out to be missing. Nothing is signed until it is settled."""
        self._loss = reason
        return encode_loss(reason)

    def resolve_loss(self, floor: int) -> bytes:
        """The record to make durable before anything is signed after a loss: nothing up to height `floor` ever will be."""
        self._loss, self._floor = None, floor
        return rlp.encode([_FLOOR, rlp.scalar(floor)])

    def head_changed(self, number: int) -> list[bytes]:
        """Block `number` is final: forget it and all below. The records that say everything that still matters."""
        self._finished = max(self._finished, number)
        self._heights = {height: signed for height, signed in self._heights.items() if height > self._finished}
        records = [rlp.encode([_FINISHED, rlp.scalar(self._finished)])]
        if self._floor > self._finished:
            records.append(rlp.encode([_FLOOR, rlp.scalar(self._floor)]))
        if self._loss is not None:
            records.append(encode_loss(self._loss))
        for height, signed in sorted(self._heights.items()):
            if signed.prepared is not None:
                records.append(rlp.encode([_PREPARED, signed.prepared.encode()]))
            if signed.draft is not None:
                records.append(self.record_draft(RoundId(height, signed.draft[0]), signed.draft[1]))
            for (code, round_), content in signed.contents.items():
                records.append(rlp.encode([_SIGNED, rlp.scalar(code), *RoundId(height, round_).fields(), content]))
        return records

    # -- rules ---------------------------------------------------------------------------------------------------

    def _check_left(self, signed: SignedAtHeight, payload: Payload) -> None:
        if payload.round_id.round < signed.highest_requested_round:
            raise ContradictionError(
                f"round {signed.highest_requested_round} was asked for, {payload.round_id} is behind it"
            )

    def _check_vote(self, signed: SignedAtHeight, payload: Payload, content: bytes) -> None:
        """A prepare and a commit of one round are for one block."""
        other = {PREPARE: COMMIT, COMMIT: PREPARE}.get(payload.code)
        if other is not None and signed.digest(other, payload.round_id.round) not in (None, content):
            raise ContradictionError(f"another block was prepared or committed in {payload.round_id}")

    def _check_commit(self, signed: SignedAtHeight, payload: Payload) -> None:
        """A commit is remembered by its proof: after a restart its author shows the block in its round changes."""
        if not isinstance(payload, CommitPayload):
            return
        shown = None if signed.prepared is None else signed.prepared.certificate.proposal.payload
        if shown is None or (shown.round_id, shown.digest) != (payload.round_id, payload.digest):
            raise ContradictionError(f"the block to commit in {payload.round_id} has not been recorded as prepared")

    def _check_prepared(self, signed: SignedAtHeight, payload: Payload) -> None:
        if not isinstance(payload, RoundChangePayload) or signed.prepared is None:
            return
        if payload.certificate is None or payload.certificate.round < signed.prepared.round:
            raise ContradictionError(
                f"a block prepared in round {signed.prepared.round} is missing from the round change"
            )

    # -- memory --------------------------------------------------------------------------------------------------

    def _remember(self, code: int, round_id: RoundId, content: bytes) -> None:
        self._heights.setdefault(round_id.sequence, SignedAtHeight()).contents[code, round_id.round] = content

    def _remember_prepared(self, prepared: PreparedBlock) -> None:
        signed = self._heights.setdefault(prepared.height, SignedAtHeight())
        if signed.prepared is None or prepared.round > signed.prepared.round:
            signed.prepared = prepared

    def _replay(self, fields: RlpFields) -> None:
        kind = fields.bytes("kind")
        if kind == _SIGNED:
            code, round_id = fields.scalar("code", 1), RoundId.from_fields(fields)
            if round_id.sequence > self._finished:
                self._remember(code, round_id, fields.bytes("content"))
        elif kind == _PREPARED:
            prepared = PreparedBlock.decode(fields.bytes("prepared"))
            if prepared.height > self._finished:
                self._remember_prepared(prepared)
        elif kind == _DRAFT:
            round_id = RoundId.from_fields(fields)
            if round_id.sequence > self._finished:
                self.record_draft(round_id, ProposalDraft.decode(fields.bytes("draft")))
        elif kind == _LOST:
            self._loss = fields.bytes("reason").decode("utf-8", "replace")
        elif kind == _FLOOR:
            self.resolve_loss(fields.scalar("number", 8))
        else:
            self.head_changed(fields.scalar("number", 8))


def _content(payload: Payload) -> bytes:
    if isinstance(payload, RoundChangePayload):
        return rlp.encode(payload.fields())
    return payload.digest
