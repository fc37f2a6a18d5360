"""The recovery of payloads: a manager that lost its store gets its payloads and groups back from other managers.

The requester proves its key (see `proven_requests`). It receives the payloads that it is a party of, and no others. Each
payload comes with the one box that the requester can open, and with known boxes of other recipients. It also receives the
groups that it is a member of. This module must not send a plaintext. It must not trust an answer beyond what it can open.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, CborFields, encode_array, encode_map
from lacnode.privacy.manager.encrypted_payload import (
    EncryptedPayload,
    decode_orion_payload,
    encode_orion_payload,
    find_own_boxes,
    restore_sender_box,
)
from lacnode.privacy.manager.group_record import decode_orion_group
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore, StoredPayload
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.proven_requests import (
    REFUSED_CODE,
    OutgoingRequest,
    ProvenRequest,
    ProvenRequestClient,
    RequestAuthenticator,
    RequestQuota,
)
from lacnode.privacy.manager.recovery_boxes import (
    decode_recovery_boxes,
    encode_recovery_boxes,
    make_recovery_box,
    open_recovery_box,
)
from lacnode.privacy.manager.unanswered_urls import UnansweredUrlLimit
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog

# Paging: a request names a number, and the answer has what comes after it and the number for the next request. Groups that
# fit come with the first payloads. Otherwise the groups have pages of their own, before all payloads. A requester does not
# know the difference: it sends back `next` until it does not grow.

RECOVER_PATH = "/lacnode/recover"
PAGE_PAYLOADS, MAX_WANTED_PAYLOADS = 64, 64
MAX_PAGE_BYTES = 2_097_152
FIRST_GROUPS_BYTES = 262_144
"""The largest size of the groups on the first page. The page may also have one payload of the largest size."""

PAGE_GROUPS = 1_000
"""The largest number of groups on one page."""

FIRST_GROUP_CURSOR, FIRST_PAYLOAD_CURSOR = 2**60, 2**61
"""Pages after these numbers have groups, and the payloads after all groups. A requester sends back the number in `next`, so
it needs no other sign."""

MAX_MANAGERS_AT_ONCE = 8
"""The largest number of managers that are asked at the same time. Their answers may be large."""

ASKING_SECONDS = 20.0
"""The time after which no more managers are asked for single payloads in one call, for each own key. The next call goes on
with those that were not asked."""

MAX_HELPFUL_MANAGERS = 64
"""The largest number of URLs whose managers are asked first, because they gave a payload before."""

MAX_RECOVERY_REQUESTS = 120
"""The largest number of requests of one key in a minute."""


class RecoveryResponder:
    """Answers recovery requests of other managers from `store`. The boxes of the keys `hidden` are never given to other
    keys. `allowance` bounds the requests of one key."""

    def __init__(
        self,
        challenges: RequestAuthenticator,
        store: PayloadStore,
        allowance: RequestQuota | None = None,
        hidden: Iterable[bytes] = (),
    ) -> None:
        self._challenges = challenges
        self._store = store
        self._allowance = allowance or RequestQuota(MAX_RECOVERY_REQUESTS)
        self._hidden = frozenset(hidden)

    def answer_request(self, body: bytes) -> bytes:
        """Return the sealed answer to the request in `body` (CBOR): a page of the payloads and groups that the
        requester is a party of.

        EnclaveError `EnclaveNotPayloadOwner` if the requester does not prove its key, has asked too often, asks for too
        much, or if the content of its box is malformed. `ObjectJsonDeserialization` if the request around the box is
        malformed. StoreError if the store fails.
        """
        # The proof comes before the count. A stranger could otherwise use up the requests of another key.
        proven = self._challenges.open_request(body)
        after, wanted = _read_request(proven)
        self._allowance.count_request(proven.requester)
        return proven.seal_answer(self._answer_page(proven.requester, proven.own.public, after, wanted))

    def _answer_page(self, requester: bytes, own: bytes, after: int, wanted: Sequence[bytes]) -> bytes:
        """Return one page: groups first, then payloads. A few groups come with the first payloads.

        A page is never longer than its reader accepts, for any number of groups that other managers have announced.
        """
        if after >= FIRST_PAYLOAD_CURSOR:
            return self._answer_payload_page(requester, own, after - FIRST_PAYLOAD_CURSOR, FIRST_PAYLOAD_CURSOR)
        if after >= FIRST_GROUP_CURSOR:
            return self._answer_group_page(requester, after - FIRST_GROUP_CURSOR)
        if wanted:
            return _encode_page(self._encode_payloads(requester, own, self._find_named(requester, wanted))[0], (), 0)
        # A payload of a group is accepted only after the group's record. Strangers may have announced thousands of
        # groups before.
        groups = None if after else self._store.groups.read_page(requester, 0, PAGE_GROUPS, FIRST_GROUPS_BYTES)
        if groups is not None and groups.has_more:
            return _encode_page((), groups.records, FIRST_GROUP_CURSOR + groups.last_number)
        return self._answer_payload_page(requester, own, after, 0, () if groups is None else groups.records)

    def _answer_payload_page(
        self, requester: bytes, own: bytes, after: int, cursor: int, records: Iterable[bytes] = ()
    ) -> bytes:
        found = self._store.read_payloads(requester, after, PAGE_PAYLOADS, MAX_PAGE_BYTES)
        payloads, last = self._encode_payloads(requester, own, found)
        return _encode_page(payloads, records, cursor + last if payloads else 0)

    def _answer_group_page(self, requester: bytes, after: int) -> bytes:
        groups = self._store.groups.read_page(requester, after, PAGE_GROUPS, MAX_PAGE_BYTES)
        next_after = FIRST_GROUP_CURSOR + groups.last_number if groups.has_more else FIRST_PAYLOAD_CURSOR
        return _encode_page((), groups.records, next_after)

    def _find_named(self, requester: bytes, wanted: Sequence[bytes]) -> Iterator[StoredPayload]:
        """Yield the payloads of a request, one at a time, so that many large payloads are not in memory together."""
        # A payload of other parties looks like an unknown one. The requester must not learn that it is here.
        readable = self._store.find_readable_keys(wanted, requester)
        for key in wanted:
            stored = self._store.find_payload(key) if key in readable else None
            if stored is not None:
                yield stored

    def _encode_payloads(self, requester: bytes, own: bytes, found: Iterable[StoredPayload]) -> tuple[list[bytes], int]:
        """Return the entries of one page and the number of the last payload."""
        payloads: list[bytes] = []
        size = last = 0
        for stored in found:
            entry = self._encode_entry(stored, requester, own)
            # The first payload is always taken. The page would otherwise be empty for a payload above the bound, and the
            # requester would ask for it for ever.
            if payloads and size + len(entry) > MAX_PAGE_BYTES:
                break
            payloads.append(entry)
            size, last = size + len(entry), stored.number
        return payloads, last

    def _encode_entry(self, stored: StoredPayload, requester: bytes, own: bytes) -> bytes:
        """Return the entry of one payload: the box of the requester and recovery boxes of other parties."""
        # The sender of the payload can make its boxes again, so its own box is not sent. Hidden parties are keys of
        # `alwayssendto`, which the other recipients must not learn of.
        payload, left_out = stored.payload, {requester, stored.payload.sender, *self._hidden}
        # Any party may keep the boxes of any other one. So one surviving manager is enough to restore the whole group.
        boxes = {party: position for party, position in stored.parties.items() if party not in left_out}
        # A sender has the boxes of its recipients as they opened them. No recipient may receive another one's as it is.
        sender = self._challenges.own_pair(payload.sender)
        recovery_boxes = {
            party: payload.boxes[position] if sender is None else make_recovery_box(payload, position, sender, party)
            for party, position in boxes.items()
        }
        return encode_map(
            {"body": self._encode_readable_part(stored, requester, own), "boxes": encode_recovery_boxes(recovery_boxes)}
        )

    def _encode_readable_part(self, stored: StoredPayload, requester: bytes, own: bytes) -> bytes:
        """Return the payload with the box that the requester can open, encoded."""
        # A requester that sent the payload has no box here. It can open our own box, because a NaCl box opens from both
        # sides.
        position = stored.parties[requester]
        if requester == stored.payload.sender and own in stored.parties:
            position = stored.parties[own]
        return encode_orion_payload(stored.payload.with_boxes_at([position]))


def _encode_page(payloads: Sequence[bytes], groups: Iterable[bytes], next_after: int) -> bytes:
    records = [encode_map({"body": record}) for record in groups]
    return encode_map({"payloads": encode_array(list(payloads)), "groups": encode_array(records), "next": next_after})


@dataclass(frozen=True, slots=True)
class RecoveredPage:
    """The outcome of one page: `stored_count` of its payloads were accepted, and `refused_count` were refused. Those that
    are here already are in neither number. The next page begins after the number `next_after`, which the other manager
    chooses. None if the page ended with a malformed part, which counts as a refused payload."""

    stored_count: int
    refused_count: int
    next_after: int | None


class _Outcome(Enum):
    STORED = "stored"
    REFUSED = "refused"
    IGNORED = "ignored"


class PayloadRecovery:
    """Asks other managers over `sender` for payloads and groups that are missing here, and stores them in `manager`.
    Its calls block, so the event loop must not make them. `was_lost` says that this manager may have lost payloads that
    an earlier version has sent (see `PayloadIntake.is_sent_by`). `clock` returns monotonic seconds."""

    def __init__(
        self,
        manager: LocalTransactionManager,
        sender: PeerSender,
        *,
        was_lost: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._requests = ProvenRequestClient(sender)
        self._was_lost = was_lost
        self._clock = clock
        # A stranger can have hundreds of URLs, and each is asked again and again.
        self._log = RateLimitedLog("privacy", clock)
        self._limit = UnansweredUrlLimit(manager.peers, clock)
        self._turn = 0
        self._turns: dict[str, int] = {}
        # A dictionary as an ordered set: what helped last is the last.
        self._helpful: dict[str, None] = {}

    @property
    def own_keys(self) -> Sequence[bytes]:
        """The own public keys (32 bytes each)."""
        return self._manager.keys.public_keys

    def has_helped(self, key: bytes) -> bool:
        """Return True if the manager of `key` (32 bytes) is among the last that gave one of the payloads which
        `recover_payloads` asked for."""
        return self._manager.party_info.keys.get(key) in self._helpful

    def recover_page(self, own: bytes, key: bytes, after: int) -> RecoveredPage | None:
        """Ask the manager of `key` for the payloads and groups of the own key `own` (32 bytes each) after the number
        `after` (0 for the first page), and store what is missing. Return the outcome. None if the manager is unknown or
        gives no answer that can be opened. What came before a malformed part of a page may be stored. EnclaveError
        `EnclaveNoMatchingPrivateKey` if `own` is not an own key. EnclaveUnreachableError if the own store fails."""
        url = self._manager.party_info.keys.get(key)
        if url is None:
            return None
        return self._request_pages(self._manager.keys.sender_pair(own), [(key, url)], after, ())[0]

    def recover_payloads(self, wanted: Sequence[bytes]) -> int:
        """Ask the known managers for the payloads `wanted` (keys of 32 bytes, at most `MAX_WANTED_PAYLOADS`) and store
        them. Return how many were stored. They count for the quota of their senders, unless `was_lost`. For each own
        key, no more managers are asked after `ASKING_SECONDS`. Calls to URLs where no manager has answered yet are
        limited (`UnansweredUrlLimit`). Managers that do not answer raise no error. EnclaveUnreachableError if the own
        store fails."""
        total = 0
        for own in self._own_pairs():
            until = self._clock() + ASKING_SECONDS
            for places in _managers_to_ask(self._in_turn(self._other_keys())):
                # Some managers at a time, and only for payloads that are still missing. Each payload may be as large as
                # 15 MB, and the first answers usually have them.
                here = self._manager.find_readable_keys(wanted, own.public)
                left = [key for key in wanted if key not in here]
                # A stranger can announce hundreds of URLs that answer slowly. Other payloads are waited for meanwhile.
                if not left or self._clock() > until:
                    break
                # Any account can send the markers of payloads that are missing everywhere.
                total += self._ask_together(own, [place for place in places if self._limit.take_call(place[1])], left)
        return total

    def _ask_together(self, own: KeyPair, places: Sequence[tuple[bytes, str]], wanted: Sequence[bytes]) -> int:
        if not places:
            return 0
        self._turn += 1
        pages = self._request_pages(own, places, 0, wanted)
        for (_, url), page in zip(places, pages, strict=True):
            self._turns[url] = self._turn
            if page is not None and page.stored_count:
                self._helpful.pop(url, None)
                self._helpful[url] = None
                if len(self._helpful) > MAX_HELPFUL_MANAGERS:
                    del self._helpful[next(iter(self._helpful))]
        return sum(page.stored_count for page in pages if page is not None)

    def _in_turn(self, places: Sequence[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
        """Return the managers in the order of the questions: those that helped before, and then the one that was not
        asked for the longest time. Among those that were never asked the best known one is the first."""
        urls = {url for _, url in places}
        self._turns = {url: turn for url, turn in self._turns.items() if url in urls}
        return sorted(places, key=lambda place: (place[1] not in self._helpful, self._turns.get(place[1], 0)))

    def _own_pairs(self) -> list[KeyPair]:
        return [self._manager.keys.sender_pair(public) for public in self._manager.keys.public_keys]

    def _other_keys(self) -> list[tuple[bytes, str]]:
        return [
            (key, url)
            for key, url in self._manager.party_info.keys.items()
            if self._manager.keys.find_pair(key) is None
        ]

    def _request_pages(
        self, own: KeyPair, places: Sequence[tuple[bytes, str]], after: int, wanted: Sequence[bytes]
    ) -> list[RecoveredPage | None]:
        """Read one page from each manager. None for a manager without an answer that can be opened."""
        fields = {"after": after, "wanted": list(wanted)}
        pages = self._requests.send(RECOVER_PATH, own, [OutgoingRequest(key, url, fields) for key, url in places])
        return [
            None if page is None else self._store_page(own, key, url, page, frozenset(wanted))
            for (key, url), page in zip(places, pages, strict=True)
        ]

    def _store_page(self, own: KeyPair, key: bytes, url: str, page: CborFields, wanted: Set[bytes]) -> RecoveredPage:
        outcomes: list[_Outcome] = []
        next_after: int | None = None
        try:
            # The answer is sealed by the asked key, but its content is still the word of another manager. Each part is
            # checked.
            payloads, groups, following = (
                page.read_field("payloads", list),
                page.read_field("groups", list),
                page.read_field("next", int),
            )
            # Groups come first. A payload is checked against the group that it belongs to. They are not asked for with
            # single payloads.
            for group in () if wanted else groups:
                self._store_group(CborFields(group, "recovery.groups").bytes("body"), own, key)
            for item in payloads:
                outcomes.append(self._store_entry(CborFields(item, "recovery"), own, key, wanted))
            next_after = following
        except (CborError, EnclaveError) as error:
            self._log.info("unusable", f"{url} answers a recovery with what cannot be used: {error}")
            outcomes.append(_Outcome.REFUSED)
        return RecoveredPage(outcomes.count(_Outcome.STORED), outcomes.count(_Outcome.REFUSED), next_after)

    def _store_entry(self, entry: CborFields, own: KeyPair, key: bytes, wanted: Set[bytes]) -> _Outcome:
        payload = decode_orion_payload(entry.bytes("body"))
        # A marker on the chain is enough for any manager to be asked. What it gives unasked would fill the disk.
        if wanted and payload.key not in wanted:
            return _Outcome.IGNORED
        recovery_boxes = decode_recovery_boxes(entry.read_field("boxes", bytes, True) or b"")
        # Nothing is opened of a payload that is here. Another manager could otherwise give it again without end.
        if self._manager.has_payload(payload.key, own.public):
            return _Outcome.IGNORED
        kept = self._with_own_box(payload, own, key)
        # A payload that no own key opens is not stored. Another manager could otherwise fill the disk with it.
        readers = {} if kept is None else find_own_boxes(kept, KeyRing([own]))
        if kept is None or not readers:
            return _Outcome.REFUSED
        # Any account can send the marker of a payload that is to be asked for. So it counts as if it was pushed, unless the
        # operator asks for everything.
        counts_to_quota = bool(wanted) and not self._was_lost
        is_stored = self._manager.intake.store_recovered(kept, readers, recovery_boxes, counts_to_quota=counts_to_quota)
        return _Outcome.STORED if is_stored else _Outcome.REFUSED

    def _with_own_box(self, payload: EncryptedPayload, own: KeyPair, key: bytes) -> EncryptedPayload | None:
        """Return the payload with a box that `own` opens, None if there is none. The manager of `key` gave it."""
        if payload.sender != own.public:
            return open_recovery_box(payload, own) or payload
        # An own payload comes with the box of its recipient. The box for this manager is made again from it.
        mine = restore_sender_box(payload, key, own)
        return mine if mine is None or self._manager.intake.is_sent_by(mine, own, key, self._was_lost) else None

    def _store_group(self, body: bytes, own: KeyPair, key: bytes) -> None:
        """Store one group record. A refused record does not stop the others."""
        record = decode_orion_group(body)
        if own.public in record.members:
            # A group may be known already in a newer state. Its refusal is then the normal case.
            with suppress(EnclaveError):
                self._manager.groups.store_recovered(record, key)


def _managers_to_ask(places: Iterable[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
    """Yield groups of managers to ask at the same time: keys and the URLs of their managers.

    Each URL comes once in a group. So a call does not wait for all silent managers, and a manager does not wait for the
    many keys that another one claims.
    """
    keys_at: dict[str, deque[bytes]] = {}
    for key, url in places:
        # Several keys may claim one URL. They are asked one after the other, each in a group of its own.
        keys_at.setdefault(url, deque()).append(key)
    while keys_at:
        urls = list(keys_at)
        for number in range(0, len(urls), MAX_MANAGERS_AT_ONCE):
            yield [(keys_at[url].popleft(), url) for url in urls[number : number + MAX_MANAGERS_AT_ONCE]]
        keys_at = {url: keys for url, keys in keys_at.items() if keys}


def _read_request(proven: ProvenRequest) -> tuple[int, list[bytes]]:
    """Return the number and the wanted payloads of a request. EnclaveError `EnclaveNotPayloadOwner` if it is malformed."""
    try:
        after, wanted = proven.fields.read_field("after", int), proven.fields.read_field("wanted", list)
        proven.fields.check_no_fields_left()
    except CborError:
        raise EnclaveError(REFUSED_CODE) from None
    # The bound keeps the number and the cursor of groups below 64 bits, which is what the databases can compare.
    if not 0 <= after < 1 << 62 or len(wanted) > MAX_WANTED_PAYLOADS or any(type(key) is not bytes for key in wanted):
        raise EnclaveError(REFUSED_CODE)
    return after, wanted
