"""The private tables: their keys and values. Readers of the public chain cannot reach them.

| Table | Key | Value |
|---|---|---|
| private_state | node or code hash | trie node or code, of all groups |
| private_receipts | block hash, marker hash, `RECEIPT` | private receipt (Besu's key and value) |
| private_receipts | block hash, marker hash, `TOLD`, group id | the same of a transaction from a group's history |
| private_metadata | block hash, group id, `METADATA` | the group's roots within the block (Besu's key and value) |
| private_roots | group id, 2^64-1 minus number (8) | the group's root after that block, where it changed |
| private_markers | group id, number (8), index (4) | marker hash, payload key: what concerned the group |
| private_ahead | group id, number (8), index (4) | sender (20), nonce: a private transaction that came too early |
| private_absent | number (8), index (4) | a marker whose payload could not be had (`AbsentMarker`) |
| private_failing | number (8), index (4) | nothing: which of these the manager has and fails to give |
| private_awaited | payload key (32), number (8), index (4) | marker hash: where an absent payload is waited for |
| private_due | due time (8), number (8), index (4) | `2` where it is asked for before others, `1` else: when to ask again |
| private_meta | `cursor` | number of the last block done |
| private_meta | `history`, group id | key of the payload in which the group's past was told |
| private_meta | `diverged`, group id, a member's key (or nothing) | number, the root expected there and the one found |
| private_meta | `revision`, group id | the number of times that the group was rebuilt |
| private_meta | `state-bytes` | the bytes of nodes, codes and receipts that were written |

Besu writes the list of all groups' last blocks with every block. Here the roots are found by their number, which is enough
where blocks are final. This module must not check a rule.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.rlp import RlpFields
from lacnode.privacy.state.announced_payloads import (
    place_key_and_hash_of_first_success,
    record_punctual_sender,
    record_signer_of_held_payload,
    record_successful_marker,
    remove_punctual_sender,
    remove_successful_marker,
)
from lacnode.privacy.state.group_rotation import AFTER_GROUP
from lacnode.privacy.state.known_payloads import PayloadFacts
from lacnode.privacy.state.private_records import MarkerRoot, PrivateReceipt, decode_marker_roots, encode_marker_roots
from lacnode.storage.database import Batch, Database, Snapshot

STATE, RECEIPTS, METADATA, ROOTS = "private_state", "private_receipts", "private_metadata", "private_roots"
MARKERS, AHEAD, ABSENT, FAILING = "private_markers", "private_ahead", "private_absent", "private_failing"
AWAITED, DUE, META = "private_awaited", "private_due", "private_meta"
CURSOR, DIVERGED, HISTORY, REVISION = b"cursor", b"diverged", b"history", b"revision"
STATE_BYTES = b"state-bytes"
_LAST = 2**64 - 1
_BEFORE_OTHERS = b"\x02"


@dataclass(frozen=True, slots=True, order=True)
class MarkerPlace:
    """The place of a marker: its block number and its index in the block. Places are ordered as in the chain."""

    number: int
    index: int

    def key(self) -> bytes:
        """Return the 12 bytes that stand for this place in keys: the number (8) and the index (4), big-endian. Their
        order is the order of the chain."""
        return self.number.to_bytes(8) + self.index.to_bytes(4)

    @classmethod
    def from_key(cls, key: bytes) -> "MarkerPlace":
        """Return the place for which `key` returned these 12 bytes. Further bytes are ignored."""
        return cls(int.from_bytes(key[:8]), int.from_bytes(key[8:12]))


@dataclass(frozen=True, slots=True)
class StoredMarker:
    """A marker that concerned a group: its place, its hash and the key of its payload (32 bytes each).

    `nonce_ahead` is the sender (20 bytes) and the nonce of a private transaction with a nonce that is too high: one
    before it is missing. It is None for any other transaction. `known` are the facts about the payload, None if they
    are not known.
    """

    place: MarkerPlace
    marker_hash: bytes
    payload_key: bytes
    nonce_ahead: tuple[bytes, int] | None = None
    known: PayloadFacts | None = None


@dataclass(frozen=True, slots=True)
class AbsentMarker:
    """A marker that waits for a payload. `failing` is True if the manager has the payload and fails to give it, False
    for any other reason: mostly the manager does not have it. `marker_hash` and `payload_key` have 32 bytes.
    `payload_key` is the key of the group history if that is missing.

    The payload is asked for again at `due` (Unix seconds), never if that is None. `tries` counts the requests since the
    marker was recorded or `PayloadRepair.make_all_due` was called. `is_preferred` says that the payload is asked for
    before others: the signer of the marker is known to announce payloads of this node, or the payload has arrived.
    `signer` is the signer's address (20 bytes), empty in records of earlier versions.
    """

    place: MarkerPlace
    marker_hash: bytes
    payload_key: bytes
    failing: bool
    tries: int
    due: int | None
    is_preferred: bool = False
    signer: bytes = b""

    def encode(self) -> bytes:
        """Encode the marker, without its place, for the database."""
        due = b"" if self.due is None else self.due.to_bytes(8)
        flags = [
            rlp.encode_scalar(int(self.failing)),
            rlp.encode_scalar(self.tries),
            due,
            rlp.encode_scalar(int(self.is_preferred)),
            self.signer,
        ]
        return rlp.encode([self.marker_hash, self.payload_key, *flags])

    @classmethod
    def decode(cls, place: MarkerPlace, data: bytes) -> "AbsentMarker":
        """Decode what `encode` made of the marker at `place`. Raises RlpError if it is malformed."""
        fields = RlpFields(rlp.decode_list(data, "absent marker"), "absent marker")
        marker_hash, payload_key = fields.bytes("hash", 32), fields.bytes("payload key", 32)
        failing, tries, due = bool(fields.scalar("failing")), fields.scalar("tries"), fields.optional_bytes("due", 8)
        # Earlier versions did not store these fields.
        is_preferred = bool(fields.scalar("preferred")) if fields.remaining else False
        signer = (fields.optional_bytes("signer", 20) or b"") if fields.remaining else b""
        when = None if due is None else int.from_bytes(due)
        return cls(place, marker_hash, payload_key, failing, tries, when, is_preferred, signer)


@dataclass(frozen=True, slots=True)
class Divergence:
    """After block `number` the member with the key `member` (32 bytes) had the state root `expected`, and this node had
    `found` (32 bytes each).

    `member` is empty if the member is unknown: the root was given by hand. For a contradicting history it is the key
    that sent it.
    """

    number: int
    expected: bytes
    found: bytes
    member: bytes = b""


class PrivateStoreReader:
    """The private tables in one snapshot, which must be open while its iterators are used. StorageError from every
    method if a value is damaged or cannot be read. RlpError from the methods that decode a record if it is malformed.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def last_executed_block(self) -> int | None:
        """Return the number of the last public block whose private transactions are executed, as it was stored last.
        None if none was stored yet. Blocks without markers after it may be executed too."""
        data = self._snapshot.get(META, CURSOR)
        return None if data is None else int.from_bytes(data)

    def node(self, hash_: bytes) -> bytes | None:
        """Return the trie node or the code of a private state with this hash (32 bytes). None if it is absent."""
        return self._snapshot.get(STATE, hash_)

    def state_bytes(self) -> int:
        """Return how many bytes of trie nodes and codes were written, with their hashes, and of receipts. Nodes and codes
        that are written again count again. 0 before the first. Earlier versions did not count all of them."""
        return int.from_bytes(self._snapshot.get(META, STATE_BYTES) or b"")

    def root_at(self, group_id: bytes, number: int) -> bytes:
        """Return the state root (32 bytes) of the group `group_id` (32 bytes) after block `number`: the one of its last
        change up to there. The root of the empty trie if the group had no state."""
        # The keys have the number from above (2^64-1 minus number). So the first key from here on is the last change before.
        for key, root in self._snapshot.items(ROOTS, _root_key(group_id, number)):
            # The first key from here may belong to the next group. Then this group has no state yet.
            return root if key.startswith(group_id) else EMPTY_TRIE_ROOT
        return EMPTY_TRIE_ROOT

    def changed_blocks_down_to(self, group_id: bytes, number: int) -> Iterator[int]:
        """Yield the numbers of the blocks that changed the state of the group `group_id` (32 bytes), the latest one
        first, down to block `number`, which is included."""
        for key, _ in self._snapshot.items(ROOTS, group_id):
            # The newest block has the lowest key, so the loop ends at the first older block.
            found = _LAST - int.from_bytes(key[32:])
            if not key.startswith(group_id) or found < number:
                return
            yield found

    def receipt(self, block_hash: bytes, marker_hash: bytes, group_id: bytes) -> PrivateReceipt | None:
        """Return the receipt of the private transaction of the group `group_id` whose marker `marker_hash` is in the
        block `block_hash` (32 bytes each). None if there is none. The receipt of a marker's own payload is stored
        without its group: the caller must know that this payload belongs to the group."""
        # A history of another group may name the same marker. Its receipts have the group in the key.
        data = self._snapshot.get(RECEIPTS, _told_receipt_key(block_hash, marker_hash, group_id)) or self._snapshot.get(
            RECEIPTS, _receipt_key(block_hash, marker_hash)
        )
        return None if data is None else PrivateReceipt.decode(data)

    def roots_in_block(self, block_hash: bytes, group_id: bytes) -> tuple[MarkerRoot, ...]:
        """Return the hashes of the group's successful markers in the block `block_hash` (32 bytes) and the state root
        after each, in order. Empty if the block did not change the group."""
        data = self._snapshot.get(METADATA, block_hash + group_id + b"METADATA")
        return () if data is None else decode_marker_roots(data)

    def group_ids(self, start: bytes = b"") -> Iterator[bytes]:
        """Yield the id (32 bytes) of every group that a marker has concerned, ascending, from the key `start` on. Empty
        begins with the lowest id."""
        # The keys of this table begin with the group id. The jumps below skip all other markers of a group, so that
        # thousands of markers cost one step.
        while True:
            key = next((key for key, _ in self._snapshot.items(MARKERS, start)), None)
            if key is None:
                return
            yield key[:32]
            # The next key after all markers of this group. Each step is one look-up, for any number of markers.
            start = key[:32] + AFTER_GROUP

    def marker_places(self, group_id: bytes, number: int = 0) -> Iterator[MarkerPlace]:
        """Yield the places of the markers that concerned the group `group_id` (32 bytes), from block `number` on, in
        the order of the chain. Markers of failed transactions are among them."""
        return (place for place, _ in self.marker_hashes(group_id, number))

    def marker_hashes(self, group_id: bytes, number: int = 0) -> Iterator[tuple[MarkerPlace, bytes]]:
        """Yield the places and the hashes (32 bytes) of the markers that concerned the group, from block `number` on,
        in the order of the chain. Markers of failed transactions are among them."""
        for key, data in self._snapshot.items(MARKERS, group_id + number.to_bytes(8)):
            if not key.startswith(group_id):
                return
            yield MarkerPlace.from_key(key[32:]), data[:32]

    def nonces_ahead(self, group_id: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the senders (20 bytes) and nonces of the group's private transactions whose nonce was too high when
        they were executed, in the order of their markers. A transaction before each of them was missing."""
        for key, data in self._snapshot.items(AHEAD, group_id):
            if not key.startswith(group_id):
                return
            yield data[:20], int.from_bytes(data[20:])

    def first_successful_marker(self, payload_key: bytes) -> tuple[MarkerPlace, bytes] | None:
        """Return the place and the hash (32 bytes) of the first marker that executed the payload `payload_key` (32
        bytes) with success. None if there is none."""
        found = place_key_and_hash_of_first_success(self._snapshot, payload_key)
        return None if found is None else (MarkerPlace.from_key(found[0]), found[1])

    def absent_at(self, place: MarkerPlace) -> AbsentMarker | None:
        """Return the record of the absent marker at `place`, also if its payload was given up (`due` None). None if
        there is none, or after `stop_asking`."""
        data = self._snapshot.get(ABSENT, place.key())
        return None if data is None else AbsentMarker.decode(place, data)

    def absent_markers(self, start: MarkerPlace | None = None) -> Iterator[AbsentMarker]:
        """Yield every absent marker that is recorded with its tries, from `start` on, in the order of the chain. None
        begins with the first one. Those of `stop_asking` are left out."""
        for key, data in self._snapshot.items(ABSENT, b"" if start is None else start.key()):
            yield AbsentMarker.decode(MarkerPlace.from_key(key), data)

    def absent_markers_of(self, payload_key: bytes) -> Iterator[AbsentMarker]:
        """Yield the absent markers that wait for the payload `payload_key` (32 bytes), in the order of the chain, also
        those that are no longer asked for. The latter have `due` None."""
        # The key begins with the payload key, so that an arriving payload finds its markers without a search through
        # all absent ones.
        for key, marker_hash in self._snapshot.items(AWAITED, payload_key):
            if not key.startswith(payload_key):
                return
            place = MarkerPlace.from_key(key[32:])
            # A payload that is no longer asked for has this row alone. It is still executed when it arrives.
            yield self.absent_at(place) or AbsentMarker(place, marker_hash, payload_key, False, 0, None)

    def count_failing(self) -> int:
        """Return the number of absent markers whose payload the manager has and fails to give."""
        # A table of its own, because the status of all groups needs this number often and the absent markers are many.
        return sum(1 for _ in self._snapshot.items(FAILING))

    def due_times(self) -> Iterator[tuple[int, bool, MarkerPlace]]:
        """Yield the due time (Unix seconds) of each absent payload that is to be asked for, whether it comes before
        others (True), and the place of its marker.

        The earliest comes first.
        """
        for key, value in self._snapshot.items(DUE):
            yield int.from_bytes(key[:8]), value == _BEFORE_OTHERS, MarkerPlace.from_key(key[8:])

    def history_keys(self, group_id: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the ids of the flexible groups for which a history was taken over, and the key of its payload (32 bytes
        each), in the order of the ids. With `group_id` only that group, if it has one."""
        prefix = HISTORY + group_id
        for key, payload_key in self._snapshot.items(META, prefix):
            if not key.startswith(prefix):
                return
            yield key[len(HISTORY) :], payload_key

    def divergences(self, group_id: bytes) -> Iterator[Divergence]:
        """Yield the recorded divergences of the group `group_id` (32 bytes), in the order of the members' keys. Those
        without a known member come first. Contradicting histories are not among them."""
        # The table has keys of several kinds. A prefix that ends means that the next kind begins.
        prefix = DIVERGED + group_id
        for key, data in self._snapshot.items(META, prefix):
            if not key.startswith(prefix):
                return
            fields = RlpFields(rlp.decode_list(data, "divergence"), "divergence")
            number, expected, found = (
                fields.scalar("number", 8),
                fields.bytes("expected", 32),
                fields.bytes("found", 32),
            )
            yield Divergence(number, expected, found, key[len(prefix) :])

    def revision(self, group_id: bytes) -> int:
        """Return how often the state of the group `group_id` (32 bytes) was replaced, by a rebuild or by a history that
        was taken over. 0 if never. What was computed from an earlier revision is not valid."""
        data = self._snapshot.get(META, REVISION + group_id)
        return 0 if data is None else int.from_bytes(data)


def has_marker(snapshot: Snapshot, group_id: bytes, place: MarkerPlace) -> bool:
    """Return True if the marker at `place` concerned the group `group_id` (32 bytes), with or without success."""
    return snapshot.get(MARKERS, group_id + place.key()) is not None


class PrivateStoreWriter:
    """Writes to the private tables within one batch. StorageError from every method if the database fails. Nothing is
    stored before the batch is committed."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def write_cursor(self, number: int) -> None:
        """Store that the private transactions of all public blocks up to `number` are executed."""
        self._batch.put(META, CURSOR, number.to_bytes(8))

    def write_nodes(self, nodes: Mapping[bytes, bytes]) -> None:
        """Store trie nodes and codes by their hashes (32 bytes), and add their size to that of the private state."""
        if not nodes:
            return
        for key, value in nodes.items():
            self._batch.put(STATE, key, value)
        # The sum is kept with the nodes. To measure the table at each transaction would read all of it.
        self._add_state_bytes(sum(len(key) + len(value) for key, value in nodes.items()))

    def _add_state_bytes(self, count: int) -> None:
        self._batch.put(META, STATE_BYTES, (PrivateStoreReader(self._batch).state_bytes() + count).to_bytes(8))

    def write_receipt(
        self, block_hash: bytes, marker_hash: bytes, group_id: bytes, receipt: PrivateReceipt, *, is_from_history: bool
    ) -> None:
        """Store the receipt of the private transaction of the group `group_id` whose marker `marker_hash` is in the
        block `block_hash` (32 bytes each), in place of an earlier one. What it takes more than the earlier one is added
        to the size of the private state.

        `is_from_history` says that a history has the transaction, and not the payload of the marker. Such a receipt is
        stored beside that of the payload. The receipt of the payload also takes the place of the group's receipt from a
        history.
        """
        told_key = _told_receipt_key(block_hash, marker_hash, group_id)
        # Nothing ties a history's transaction to its marker. It must not replace the receipt of the marker's payload,
        # which may belong to another group.
        key, encoded = told_key if is_from_history else _receipt_key(block_hash, marker_hash), receipt.encode()
        # The public chain does not pay for a receipt, and it may have 4 MiB. One that is written again takes no more space.
        self._add_state_bytes(max(0, len(encoded) - len(self._batch.get(RECEIPTS, key) or b"")))
        self._batch.put(RECEIPTS, key, encoded)
        if not is_from_history:
            self._batch.delete(RECEIPTS, told_key)

    def delete_receipt(self, block_hash: bytes, marker_hash: bytes, group_id: bytes) -> None:
        """Delete the receipts of the group's private transaction whose marker is in this block (hashes and id of 32
        bytes), also that from a history. The caller must know that the marker's own payload belongs to the group, as
        for `PrivateStoreReader.receipt`. No effect if there is none."""
        self._batch.delete(RECEIPTS, _told_receipt_key(block_hash, marker_hash, group_id))
        self._batch.delete(RECEIPTS, _receipt_key(block_hash, marker_hash))

    def _forget_receipt(self, block_hash: bytes, marker_hash: bytes, group_id: bytes) -> None:
        # With a receipt from a history, the other one may belong to another group.
        told_key = _told_receipt_key(block_hash, marker_hash, group_id)
        is_from_history = self._batch.get(RECEIPTS, told_key) is not None
        self._batch.delete(RECEIPTS, told_key if is_from_history else _receipt_key(block_hash, marker_hash))

    def write_roots(self, number: int, block_hash: bytes, group_id: bytes, roots: tuple[MarkerRoot, ...]) -> None:
        """Write the roots of the group `group_id` in block `number` with the on-chain hash `block_hash` (32 bytes
        each), in the order of its markers. There must be at least one. They take the place of earlier ones."""
        # Besu's row has all roots within the block. The second row finds the last root by number.
        self._batch.put(METADATA, block_hash + group_id + b"METADATA", encode_marker_roots(roots))
        # Only the last root of the block counts for later blocks. The roots in between are in the row above.
        self._batch.put(ROOTS, _root_key(group_id, number), roots[-1].root)

    def delete_roots(self, number: int, block_hash: bytes, group_id: bytes) -> None:
        """Delete the state roots of the group `group_id` at block `number`, which has the on-chain hash `block_hash`
        (32 bytes each). No effect if there are none."""
        self._batch.delete(METADATA, block_hash + group_id + b"METADATA")
        self._batch.delete(ROOTS, _root_key(group_id, number))

    def delete_group(self, group_id: bytes, block_hash_of: Callable[[int], bytes | None], markers_before: int) -> None:
        """Delete the state roots of the group `group_id` (32 bytes) in all blocks with their receipts, and its markers
        before block `markers_before` with theirs. Later markers stay. `block_hash_of` returns the hash of a public
        block, None if it is unknown. The trie nodes stay: groups share them."""
        stored = PrivateStoreReader(self._batch)
        for changed in list(stored.changed_blocks_down_to(group_id, 0)):
            block_hash = block_hash_of(changed) or b""
            for entry in stored.roots_in_block(block_hash, group_id):
                self._forget_receipt(block_hash, entry.marker_hash, group_id)
            self.delete_roots(changed, block_hash, group_id)
        for place, marker_hash in list(stored.marker_hashes(group_id)):
            if place.number < markers_before:
                self._forget_receipt(block_hash_of(place.number) or b"", marker_hash, group_id)
                self._batch.delete(MARKERS, group_id + place.key())
                self._batch.delete(AHEAD, group_id + place.key())

    def write_marker(self, group_id: bytes, marker: StoredMarker) -> None:
        """Store a marker that concerned the group `group_id` (32 bytes), in place of the one at its place."""
        key = group_id + marker.place.key()
        self._batch.put(MARKERS, key, marker.marker_hash + marker.payload_key)
        # A rebuild may execute the same marker with success. The old entry would then report a gap for ever.
        if marker.nonce_ahead is None:
            self._batch.delete(AHEAD, key)
        else:
            sender, nonce = marker.nonce_ahead
            self._batch.put(AHEAD, key, sender + rlp.encode_scalar(nonce))

    def write_successful_marker(self, marker: StoredMarker) -> None:
        """Record that the private transaction of this marker succeeded. If it is the first success of its payload in
        the chain, its receipt is the one that counts."""
        # The facts stay with the payload for good. A later marker of the same payload is then decided without reading
        # it.
        facts = b"" if marker.known is None else marker.known.encode()
        # The first success of a payload decides which marker's receipt counts. It is kept when later markers come.
        record_successful_marker(self._batch, marker.payload_key, marker.place.key(), marker.marker_hash, facts)

    def delete_successful_marker(self, marker: StoredMarker) -> None:
        """Delete the record that `marker` is the first one of its payload whose private transaction succeeded. No
        effect if another marker or none is recorded for the payload."""
        remove_successful_marker(self._batch, marker.payload_key, marker.place.key())

    def write_signer_of_held_payload(self, address: bytes) -> None:
        """Record that the account `address` (20 bytes) signed the marker of a payload that this node has."""
        record_signer_of_held_payload(self._batch, address)

    def write_punctual_sender(self, private_from: bytes) -> None:
        """Record in the batch that the key `private_from` (32 bytes) is a punctual sender: one of its private
        transactions changed a state within the slice of time that it was given. No effect if it is one already."""
        record_punctual_sender(self._batch, private_from)

    def delete_punctual_sender(self, private_from: bytes) -> None:
        """Record that the key `private_from` (32 bytes) is not a punctual sender any more: a private transaction of it
        took longer than its time slice. No effect if it was none."""
        remove_punctual_sender(self._batch, private_from)

    def write_absent(self, marker: AbsentMarker) -> None:
        """Record an absent marker, in place of the absent marker that was recorded at its place."""
        # Four tables have a row of it. The old rows have other keys (the due time is one), so they are deleted first.
        before = self._delete_question(marker.place)
        self._batch.put(ABSENT, marker.place.key(), marker.encode())
        if before is None or before.payload_key != marker.payload_key:
            self._put_awaited(marker, before)
        if marker.failing:
            self._batch.put(FAILING, marker.place.key(), b"\x01")
        if marker.due is not None:
            # The value says whether it comes before others. The repair reads this table alone to choose the next
            # payloads.
            self._batch.put(DUE, _due_key(marker), _BEFORE_OTHERS if marker.is_preferred else b"\x01")

    def stop_asking(self, marker: AbsentMarker) -> None:
        """Record that the payload of an absent marker is not asked for again. The marker still waits for it:
        `absent_markers_of` finds it when the payload arrives."""
        before = self._delete_question(marker.place)
        if before is None or before.payload_key != marker.payload_key:
            self._put_awaited(marker, before)

    def delete_absent(self, place: MarkerPlace) -> None:
        """Delete the record of the absent marker at `place`. No effect if there is none, or after `stop_asking`."""
        before = self._delete_question(place)
        if before is not None:
            self._batch.delete(AWAITED, before.payload_key + place.key())

    def _delete_question(self, place: MarkerPlace) -> AbsentMarker | None:
        """Delete the rows that say when the payload of the marker at `place` is asked for. Return the record that was
        there. The marker still waits for the payload."""
        # The row by the payload key stays: such keys are random, so each row that is written is a page of the database.
        # A stranger's junk markers would otherwise write a page each time that they are asked for.
        before = PrivateStoreReader(self._batch).absent_at(place)
        if before is None:
            return None
        # The due time is a part of the key, so the old record is read to find the old row.
        if before.due is not None:
            self._batch.delete(DUE, _due_key(before))
        if before.failing:
            self._batch.delete(FAILING, place.key())
        self._batch.delete(ABSENT, place.key())
        return before

    def _put_awaited(self, marker: AbsentMarker, before: AbsentMarker | None) -> None:
        if before is not None:
            self._batch.delete(AWAITED, before.payload_key + marker.place.key())
        self._batch.put(AWAITED, marker.payload_key + marker.place.key(), marker.marker_hash)

    def write_history_key(self, group_id: bytes, payload_key: bytes) -> None:
        """Record the key of the payload (32 bytes) with the history that was taken over for the flexible group
        `group_id` (32 bytes), in place of the key of an earlier history."""
        self._batch.put(META, HISTORY + group_id, payload_key)

    def write_divergence(self, group_id: bytes, divergence: Divergence) -> None:
        """Record a divergence of the group `group_id` (32 bytes), in place of the one with the same member."""
        fields = [rlp.encode_scalar(divergence.number), divergence.expected, divergence.found]
        self._batch.put(META, DIVERGED + group_id + divergence.member, rlp.encode(fields))

    def delete_divergence(self, group_id: bytes, member: bytes = b"") -> None:
        """Delete the divergence of the group `group_id` (32 bytes) from the member with the key `member` (32 bytes).
        With an empty `member`, delete the divergence without a known member. No effect if there is none."""
        self._batch.delete(META, DIVERGED + group_id + member)

    def start_new_revision(self, group_id: bytes) -> None:
        """Increase the revision of the group `group_id` (32 bytes) by one and delete its divergences, which were about
        the old state."""
        stored = PrivateStoreReader(self._batch)
        # A list, because the loop deletes what it iterates over.
        for divergence in list(stored.divergences(group_id)):
            self.delete_divergence(group_id, divergence.member)
        self._batch.put(META, REVISION + group_id, (stored.revision(group_id) + 1).to_bytes(8))


class PrivateNodeStore:
    """An `evm.engine.NodeStore` with the trie nodes and codes of the private states of all groups, as of the last
    commit. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        """Return the trie node or the code with the hash `key` (32 bytes), as of the last commit: a batch that is open
        is not seen. None if it is absent. StorageError if it cannot be read."""
        with self._database.read() as snapshot:
            return snapshot.get(STATE, key)


def _receipt_key(block_hash: bytes, marker_hash: bytes) -> bytes:
    return block_hash + marker_hash + b"RECEIPT"


def _told_receipt_key(block_hash: bytes, marker_hash: bytes, group_id: bytes) -> bytes:
    return block_hash + marker_hash + b"TOLD" + group_id


def _due_key(marker: AbsentMarker) -> bytes:
    return (marker.due or 0).to_bytes(8) + marker.place.key()


def _root_key(group_id: bytes, number: int) -> bytes:
    return group_id + (_LAST - number).to_bytes(8)
