"""The consensus log in memory: what this validator has signed, and what it must therefore not sign.

Every payload passes here before it is signed. `check_and_record` refuses the payload, or returns a record that must be on
disk before the signature is made. After a crash `Journal.restore` reads the records back, so no signed message is
contradicted. Besu keeps these facts in memory only.

The journal does not know quorums. It refuses what no validator may ever sign. A payload that was recorded before may be
signed again, unless one of the last two lines forbids it:

* two proposals, two prepares or two commits for one height and round
* anything for a round that this validator has asked to leave
* a commit for a block that has not been recorded as prepared
* a round change that hides a prepared block, or two different round changes for one round
* anything at a height that is finished
* anything after records were lost, until the loss is resolved by a floor, and then anything up to the floor

A record is one of these RLP lists:

* `[0, kind, sequence, round, content]`: a payload that may be signed
* `[1, prepared block]`
* `[2, number]`: the highest finished height
* `[3, sequence, round, draft]`: the block to propose in a round
* `[4, reason]`: records are missing
* `[5, number]`: the floor, the highest height at which this validator may have signed something that it has lost
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lacnode.consensus.bft.payloads import CommitPayload, MessageKind, Payload, RoundChangePayload, RoundId
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.protocol_schedule import OtherProtocolError, ProtocolSchedule
from lacnode.consensus.bft.stored_proofs import (
    decode_stored_draft,
    decode_stored_prepared,
    encode_stored_draft,
    encode_stored_prepared,
    height_of_stored_prepared,
)
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpError, RlpFields

_OTHER_VOTE = {MessageKind.PREPARE: MessageKind.COMMIT, MessageKind.COMMIT: MessageKind.PREPARE}

_SIGNED, _PREPARED, _FINISHED, _DRAFT, _LOST, _FLOOR = b"", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"


def encode_loss_record(reason: str) -> bytes:
    """Encode the record (RLP) that says that records are missing, and why. It is also the first record of a new log
    file that replaces a lost one.
    """
    return rlp.encode([_LOST, reason.encode()])


class ContradictionError(Exception):
    """A payload contradicts an earlier signature and must never be signed. The text names the contradiction."""


@dataclass(slots=True)
class SignedAtHeight:
    """What was put on record for signing at one height. Each payload is recorded before it is signed, so the last ones
    may have no signature.

    `contents` maps (kind, round) to the digest (32 bytes) of a proposal, prepare or commit, or to an encoded round
    change. `prepared` is the block prepared in the highest round, None if there is none. `draft` is the last block to
    propose, as (round, draft), None if there is none. A draft may be recorded without being signed: `contents` shows
    whether it was signed.
    """

    contents: dict[tuple[int, int], bytes] = field(default_factory=dict)
    prepared: PreparedBlock | None = None
    draft: tuple[int, ProposalDraft] | None = None

    @property
    def highest_requested_round(self) -> int:
        """The highest round that a round change asked for. Lower rounds have been left. 0 if there is no round change."""
        return max((round_ for kind, round_ in self.contents if kind == MessageKind.ROUND_CHANGE), default=0)

    @property
    def highest_round(self) -> int:
        """The highest round in which anything was signed or prepared, 0 if nothing was. After a restart the validator
        goes on there.
        """
        prepared = 0 if self.prepared is None else self.prepared.round
        return max([prepared, *(round_ for _, round_ in self.contents)])

    def signed_content(self, kind: int, round_: int) -> bytes | None:
        """The digest (32 bytes), or the encoded round change, that was signed for a message of this `kind` (a
        MessageKind) in `round_`. None if nothing was signed.
        """
        return self.contents.get((kind, round_))

    def signed_draft(self, round_: int) -> ProposalDraft | None:
        """The draft of `round_`. None if its proposal was not signed, if its block was not recorded, or if the draft of
        another round was recorded later."""
        digest = self.signed_content(MessageKind.PROPOSAL, round_)
        if self.draft is None or self.draft[0] != round_ or self.draft[1].digest != digest:
            # The digests differ if the node stopped between the record of a new draft and its signature.
            return None
        return self.draft[1]


class Journal:
    """What one validator has signed. The caller writes every returned record to disk.

    `protocols` are those of the chain: they know the bytes of certificates.
    """

    def __init__(self, protocols: ProtocolSchedule) -> None:
        self._protocols = protocols
        self._finished = -1
        self._loss: str | None = None
        self._floor = -1
        self._heights: dict[int, SignedAtHeight] = {}

    @classmethod
    def restore(cls, records: Iterable[bytes], protocols: ProtocolSchedule, *, head: int = -1) -> "Journal":
        """Rebuild the journal from its `records` (RLP), in the order in which they were written. Blocks up to `head`, the
        number of the last block of the database, are finished. Raises RlpError if a record is malformed. The blocks in
        records of finished heights are not decoded.

        Raises OtherProtocolError if this validator prepared a block above `head` that another protocol makes by the
        genesis file. A draft of such a block is left out.
        """
        journal = cls(protocols)
        # The log may have a hundred full blocks. Decoding all of them would take most of a minute, and a gigabyte.
        journal._finished = head
        for record in records:
            journal._replay(RlpFields(rlp.decode_list(record, "record"), "record"))
            # Records must be read in their order: a finished height removes what came before it.
        return journal

    @property
    def loss_reason(self) -> str | None:
        """The reason why records of this validator's signatures are missing. None if no records are missing."""
        return self._loss

    @property
    def signing_floor(self) -> int:
        """The highest height at which this validator may have signed something whose record is lost. Nothing is signed
        up to it. -1 if there is no such height."""
        return self._floor

    def signed_at(self, height: int) -> SignedAtHeight:
        """What was signed at `height`, as the journal's own object, which later records of this height change. If
        nothing was signed, a new empty object that the journal does not keep."""
        return self._heights.get(height, SignedAtHeight())

    def check_and_record(self, payload: Payload) -> bytes:
        """Return the record (RLP) that must be on disk before `payload` is signed.

        Raises ContradictionError if `payload` must not be signed, and does not remember it then. The same payload may be
        signed again, because the signature is the same, but not for a final block, after a loss, or up to the floor. An
        admitted payload is remembered at once, whether it is signed or not.
        """
        sequence, round_ = payload.round_id.sequence, payload.round_id.round
        # These three come first: they hold for a repeated payload, too.
        if sequence <= self._finished:
            raise ContradictionError(f"block {sequence} is final")
        # Without its records a validator cannot know what it signed. It must be silent until the network shows it.
        if self._loss is not None:
            raise ContradictionError(f"what was signed before is not known: {self._loss}")
        if sequence <= self._floor:
            raise ContradictionError(f"another message may have been signed for block {sequence} and forgotten")
        signed = self.signed_at(sequence)
        content = self._content(payload)
        before = signed.signed_content(payload.kind, round_)
        if before is not None and before != content:
            raise ContradictionError(f"another message of this kind was signed for {payload.round_id}")
        # The four rules are for new contents only. A restart repeats old payloads, and the repetition of a prepare is
        # legal although a later round change is in the journal.
        if before is None:
            self._check_round_not_left(signed, payload)
            self._check_vote(signed, payload, content)
            self._check_commit(signed, payload)
            self._check_prepared(signed, payload)
        # In memory before the signature: the next payload must be compared with this one even if signing fails, because
        # a failed signer may have made the signature.
        self._remember(payload.kind, payload.round_id, content)
        return rlp.encode([_SIGNED, rlp.encode_scalar(payload.kind), *payload.round_id.fixed_size_fields(), content])

    def record_prepared(self, prepared: PreparedBlock) -> bytes:
        """Return the record (RLP) that must be on disk before the commit for `prepared` is signed. Among the prepared
        blocks of one height, the one of the highest round is remembered. Nothing is checked."""
        self._remember_prepared(prepared)
        return rlp.encode([_PREPARED, encode_stored_prepared(self._protocols, prepared)])

    def record_draft(self, round_id: RoundId, draft: ProposalDraft) -> bytes:
        """Return the record (RLP) that must be on disk before the proposal of `draft` is signed. It replaces the
        remembered draft of its height. Nothing is checked.
        """
        self._heights.setdefault(round_id.sequence, SignedAtHeight()).draft = (round_id.round, draft)
        return rlp.encode([_DRAFT, *round_id.fixed_size_fields(), encode_stored_draft(self._protocols, draft)])

    def record_loss(self, reason: str) -> bytes:
        """Return the record (RLP) to write when records are missing. `check_and_record` refuses every payload until
        `resolve_loss`.
        """
        # The loss is itself a record: a restart before the loss is resolved must not forget it.
        self._loss = reason
        return encode_loss_record(reason)

    def resolve_loss(self, floor: int) -> bytes:
        """Return the record (RLP) that ends a loss. `check_and_record` refuses every payload of a height up to `floor`,
        this one included.
        """
        self._loss, self._floor = None, floor
        return rlp.encode([_FLOOR, rlp.encode_scalar(floor)])

    def forget_final_blocks(self, number: int) -> list[bytes]:
        """Forget block `number`, which is final, and all blocks below. Return the records (RLP, in order) that replace
        the whole log. Every later payload of these heights is refused.
        """
        self._finished = max(self._finished, number)
        self._heights = {height: signed for height, signed in self._heights.items() if height > self._finished}
        records = [rlp.encode([_FINISHED, rlp.encode_scalar(self._finished)])]
        # The finished height is the first record. Replaying it later would remove the records of later heights.
        if self._floor > self._finished:
            records.append(rlp.encode([_FLOOR, rlp.encode_scalar(self._floor)]))
        if self._loss is not None:
            records.append(encode_loss_record(self._loss))
        # The floor comes before the loss: replaying a floor ends a loss.
        for height, signed in sorted(self._heights.items()):
            # Heights above the head can exist: this validator may have restarted on an older database.
            if signed.prepared is not None:
                records.append(rlp.encode([_PREPARED, encode_stored_prepared(self._protocols, signed.prepared)]))
            if signed.draft is not None:
                records.append(self.record_draft(RoundId(height, signed.draft[0]), signed.draft[1]))
            for (kind, round_), content in signed.contents.items():
                records.append(
                    rlp.encode(
                        [_SIGNED, rlp.encode_scalar(kind), *RoundId(height, round_).fixed_size_fields(), content]
                    )
                )
        return records

    # -- rules ---------------------------------------------------------------------------------------------------

    # Each rule gets what was signed at the height of `payload`.
    def _check_round_not_left(self, signed: SignedAtHeight, payload: Payload) -> None:
        # The round change said that this validator has no later prepared block than it showed. A commit for an earlier
        # round would make that false, and two blocks could become final.
        if payload.round_id.round < signed.highest_requested_round:
            raise ContradictionError(
                f"round {signed.highest_requested_round} was asked for, {payload.round_id} is behind it"
            )

    def _check_vote(self, signed: SignedAtHeight, payload: Payload, content: bytes) -> None:
        """A prepare and a commit of one round must name one block."""
        # The journal has no proof of what the proposer sent. Two votes for two blocks would help both to a quorum.
        other = _OTHER_VOTE.get(payload.kind)
        if other is not None and signed.signed_content(other, payload.round_id.round) not in (None, content):
            raise ContradictionError(f"another block was prepared or committed in {payload.round_id}")

    def _check_commit(self, signed: SignedAtHeight, payload: Payload) -> None:
        """A commit needs the record of its prepared block. After a restart the round changes must show that block."""
        if not isinstance(payload, CommitPayload):
            return
        shown = signed.prepared
        if shown is None or (shown.round, shown.digest) != (payload.round_id.round, payload.digest):
            raise ContradictionError(f"the block to commit in {payload.round_id} has not been recorded as prepared")

    def _check_prepared(self, signed: SignedAtHeight, payload: Payload) -> None:
        if not isinstance(payload, RoundChangePayload) or signed.prepared is None:
            return
        # A quorum may have committed the prepared block. A round change without it helps to justify another block.
        if payload.certificate is None or payload.certificate.round < signed.prepared.round:
            raise ContradictionError(
                f"a block prepared in round {signed.prepared.round} is missing from the round change"
            )

    # -- memory --------------------------------------------------------------------------------------------------

    def _remember(self, kind: int, round_id: RoundId, content: bytes) -> None:
        self._heights.setdefault(round_id.sequence, SignedAtHeight()).contents[kind, round_id.round] = content

    def _remember_prepared(self, prepared: PreparedBlock) -> None:
        signed = self._heights.setdefault(prepared.height, SignedAtHeight())
        if signed.prepared is None or prepared.round > signed.prepared.round:
            # Only the highest round: the block of a lower round no longer binds this validator.
            signed.prepared = prepared

    def _replay(self, fields: RlpFields) -> None:
        kind = fields.bytes("kind")
        if kind == _SIGNED:
            kind_signed, round_id = fields.scalar("kind", 1), RoundId.from_fixed_size_fields(fields)
            content = fields.bytes("content")
            if round_id.sequence > self._finished:
                # A record of a finished height is not needed: nothing is signed there.
                self._remember(kind_signed, round_id, content)
        elif kind == _PREPARED:
            prepared = fields.bytes("prepared")
            if height_of_stored_prepared(prepared) > self._finished:
                self._remember_prepared(decode_stored_prepared(self._protocols, prepared))
        elif kind == _DRAFT:
            round_id, draft = RoundId.from_fixed_size_fields(fields), fields.bytes("draft")
            if round_id.sequence > self._finished:
                self._replay_draft(round_id, draft)
        elif kind == _LOST:
            self._loss = fields.bytes("reason").decode("utf-8", "replace")
        elif kind == _FLOOR:
            self.resolve_loss(fields.scalar("number", 8))
        elif kind == _FINISHED:
            self.forget_final_blocks(fields.scalar("number", 8))
        else:
            # A later version may write other records. What they forbid is not known here, so nothing may be signed.
            raise RlpError(f"record: a kind from 0 to 5 was expected, found 0x{kind[:8].hex()}")
        fields.check_no_fields_left()

    def _replay_draft(self, round_id: RoundId, data: bytes) -> None:
        try:
            self.record_draft(round_id, decode_stored_draft(self._protocols, data))
        except OtherProtocolError:
            # The genesis file gave this height to another protocol since then. The draft binds nothing: its round passes
            # without a proposal of this validator. A prepared block does bind, and `decode_stored_prepared` refuses it.
            return

    def _content(self, payload: Payload) -> bytes:
        # A round change has no digest of its own. Its whole content counts, because the certificate must not change.
        if isinstance(payload, RoundChangePayload):
            return self._protocols.protocol_at(payload.round_id.sequence).codec.encode_payload(payload)
        return payload.digest
