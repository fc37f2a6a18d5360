"""Log before you sign, sign before you send: the one place where this order is written down.

`RecordedSigner` joins the journal (may this be signed?), the records (is that on the disk?) and the key. It blocks.
`SigningQueue` runs the last step, the key, off the event loop: a key in an HSM may take a second. The order of the
signatures is that of the requests. Other events do not wait for a signature: the machine's request is in the journal
from the moment of asking, so no later step of the machine can contradict it. The machine ignores a signature that
comes too late for its round.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import trio

from lacnode.consensus.bft.events import Event, PayloadSigned, SigningRefused
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.payload_signing import sign_payload
from lacnode.consensus.bft.payloads import Payload, RoundId, SignedPayload
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.crypto.node_identity import Signer, SignerUnavailableError
from lacnode.workers.worker import Worker

SIGNING_TIMEOUT_SECONDS = 10.0
"""Seconds that the key may take for one message. After that the message is not signed, as if the key had refused."""

COMPACTION_INTERVAL_BLOCKS = 100
"""Blocks between two compactions of the records: rewriting them costs a flush."""

COMPACTION_BYTES = 32 << 20
"""Bytes of records after which they are compacted at the next final block, however few blocks there were. Each record of
a prepared block has the whole block, and a start reads all records."""


class ConsensusRecords(Protocol):
    """The write-ahead log (`storage.ConsensusLog`). An appended record is on the disk when `append` returns. Both
    methods block, and raise StorageError if the disk is full or fails."""

    def append(self, record: bytes) -> None:
        """Write `record` (1 byte to 64 MiB) to the end of the log. It is on the disk when this returns. Raises
        StorageError if the disk is full or fails."""

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole log by `records`, in one step. Raises StorageError if the disk is full or fails."""


class RecordedSigner:
    """Puts payloads, drafts and prepared blocks on record in the consensus log, and signs payloads. The caller calls
    `check_and_record` before `sign`, so that nothing is signed that is not in the log. Every method blocks. All but
    `sign` raise StorageError if the disk is full or fails.

    Not for several threads at once, except `sign`, which reads neither the journal nor the records.
    """

    def __init__(
        self, journal: Journal, records: ConsensusRecords, signer: Signer, protocols: ProtocolSchedule
    ) -> None:
        self._protocols = protocols
        self._journal = journal
        self._records = records
        self._signer = signer
        self._compacted_at = 0
        self._bytes_since_compaction = 0

    def check_and_record(self, payload: Payload) -> None:
        """Put on record that `payload` will be signed.

        It is on the disk when this returns. ContradictionError, and nothing is recorded, if the journal forbids the
        signature. StorageError if the disk is full or fails.
        """
        # The journal decides first: a refused payload must not reach the disk, where a restart would take it for
        # signed.
        self._append(self._journal.check_and_record(payload))

    def sign(self, payload: Payload) -> SignedPayload[Payload]:
        """Sign `payload`, which `check_and_record` has put on record before. Nothing is checked here.
        SignerUnavailableError if the key does not answer."""
        return sign_payload(self._protocols.protocol_at(payload.round_id.sequence), payload, self._signer)

    def record_draft(self, round_id: RoundId, draft: ProposalDraft) -> None:
        """Put `draft` on record: the block that this validator is going to propose in `round_id`. Call it before that
        proposal is signed. It replaces the draft of that height. Nothing is checked. It is on the disk when this
        returns. StorageError if the disk is full or fails.
        """
        self._append(self._journal.record_draft(round_id, draft))

    def record_prepared(self, prepared: PreparedBlock) -> None:
        """Put `prepared` on record: a block with the proof that a quorum prepared it. Call it before the commit for
        this block is signed. Nothing is checked. It is on the disk when this returns. StorageError if the disk is full
        or fails.
        """
        self._append(self._journal.record_prepared(prepared))

    def forget_final_blocks(self, number: int) -> None:
        """Drop what was signed up to block `number`, which is final. Nothing is signed there again. The journal drops
        its entries at once, the records do every `COMPACTION_INTERVAL_BLOCKS`, or after `COMPACTION_BYTES`. StorageError
        if the disk is full or fails.
        """
        records = self._journal.forget_final_blocks(number)
        # Old records do no harm: a restart reads them and drops them. Rewriting at every block would cost a flush each.
        is_due = number - self._compacted_at >= COMPACTION_INTERVAL_BLOCKS
        if is_due or self._bytes_since_compaction >= COMPACTION_BYTES:
            self._compacted_at, self._bytes_since_compaction = number, 0
            self._records.rewrite(records)

    def _append(self, record: bytes) -> None:
        self._bytes_since_compaction += len(record)
        self._records.append(record)


class SigningQueue:
    """The payloads that are on record and wait for their signature. The key works on `worker`, which must abandon work
    that is cancelled. `deliver` takes the answers, each a `PayloadSigned` or a `SigningRefused`, on the event loop."""

    def __init__(self, signer: RecordedSigner, worker: Worker, deliver: Callable[[Event], None]) -> None:
        self._signer = signer
        self._worker = worker
        self._deliver = deliver
        self._waiting: deque[Payload] = deque()
        self._changed = trio.Event()

    def put(self, payload: Payload) -> None:
        """Queue `payload` for its signature. Payloads of earlier rounds and heights that still wait are dropped without
        an answer: the machine has left their rounds, and a slow key must not fall behind more and more."""
        self._waiting = deque(one for one in self._waiting if one.round_id >= payload.round_id)
        self._waiting.append(payload)
        self._changed.set()

    async def run(self) -> None:
        """Sign the waiting payloads one after the other, and deliver each answer, until cancelled. A key that is not
        available, or does not answer within `SIGNING_TIMEOUT_SECONDS`, gives a `SigningRefused`.
        """
        while True:
            while not self._waiting:
                self._changed = trio.Event()
                await self._changed.wait()
            self._deliver(await self._signed(self._waiting.popleft()))

    async def _signed(self, payload: Payload) -> Event:
        # A key that hangs must not stop the queue for good. The machine needs an answer for every payload.
        with trio.move_on_after(SIGNING_TIMEOUT_SECONDS):
            try:
                return PayloadSigned(await self._worker.run(partial(self._signer.sign, payload)))
            except SignerUnavailableError as unavailable:
                return SigningRefused(payload, str(unavailable))
        return SigningRefused(payload, f"the signer did not answer within {SIGNING_TIMEOUT_SECONDS:.0f} s")
