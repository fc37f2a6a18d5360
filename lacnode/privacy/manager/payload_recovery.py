"""Lost and found: a member that lost its store has what it may see back from the others.

The member proves its key (see `proven_requests`). It is given payloads it is a party of and no others, each with the one
box it can open and, to keep for them, the boxes of other recipients that are known here; and groups it is a member of.
Must not serve a plaintext, nor trust what it is served further than it can open it.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress

import structlog

from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError, CborFields, encode_array, encode_map
from lacnode.privacy.manager.encrypted_payload import decode_payload, encode_payload, find_own_boxes, restore_own_box
from lacnode.privacy.manager.group_record import decode_group
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.payload_store import PayloadStore, StoredPayload
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.proven_requests import (
    REFUSED_CODE,
    OutgoingRequest,
    ProvenRequest,
    RequestAuthenticator,
    RequestQuota,
    ask,
)
from lacnode.privacy.manager.recovery_boxes import decode_boxes, encode_boxes
from lacnode.privacy.transaction_manager import EnclaveError

log = structlog.get_logger("privacy")

RECOVER_PATH = "/lacnode/recover"
PAGE_PAYLOADS, MAX_WANTED_PAYLOADS = 64, 64
MAX_PAGE_BYTES = 2_097_152
FIRST_GROUPS_BYTES = 262_144
"""Bytes of groups that come with the first page, which may have one payload of the largest size."""

PAGE_GROUPS = 1_000
"""Groups on one page."""

FIRST_GROUP_CURSOR = 2**60
"""Pages that begin after this number, and more, are of groups: whoever asks hands back what `next` says."""

MAX_PAGES = 10_000
MAX_MANAGERS_AT_ONCE = 8
"""Managers that are asked for the same payloads: their answers may be large."""

MAX_RECOVERY_REQUESTS = 120
"""A minute and key."""


class RecoveryResponder:
    """Answers requests of other managers. `hidden` are keys that nobody else is told the boxes of."""

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

    def recover(self, body: bytes) -> bytes:
        """A page of what the requester is a party of. EnclaveError `EnclaveNotPayloadOwner` unless it proves its key."""
        proven = self._challenges.open(body)
        after, wanted = _wish(proven)
        self._allowance.count(proven.requester)
        return proven.seal(self._page(proven.requester, proven.own.public, after, wanted))

    def _page(self, requester: bytes, own: bytes, after: int, wanted: Sequence[bytes]) -> bytes:
        """Groups come with the first page, and those that it has no room for on pages of their own behind the payloads:
        whatever strangers have pushed, a page is never longer than its reader takes."""
        if after >= FIRST_GROUP_CURSOR:
            return self._group_page(requester, after - FIRST_GROUP_CURSOR)
        payloads, last = self._payloads(requester, own, self._found(requester, after, wanted))
        if wanted:
            return _encoded(payloads, (), 0)
        if payloads and after:
            return _encoded(payloads, (), last)
        groups = self._store.groups_with(requester, 0, PAGE_GROUPS, FIRST_GROUPS_BYTES)
        if after and groups.has_more:
            return self._group_page(requester, groups.last)
        following = last if payloads else FIRST_GROUP_CURSOR + groups.last if groups.has_more else 0
        return _encoded(payloads, () if after else groups.records, following)

    def _group_page(self, requester: bytes, after: int) -> bytes:
        groups = self._store.groups_with(requester, after, PAGE_GROUPS, MAX_PAGE_BYTES)
        return _encoded((), groups.records, FIRST_GROUP_CURSOR + groups.last if groups.has_more else 0)

    def _found(self, requester: bytes, after: int, wanted: Sequence[bytes]) -> Iterator[StoredPayload]:
        """One at a time where they are named: many large ones are not in memory together."""
        if not wanted:
            yield from self._store.payloads_of(requester, after, PAGE_PAYLOADS, MAX_PAGE_BYTES)
        for key in wanted:
            stored = self._store.payload(key)
            if stored is not None and requester in stored.parties:
                yield stored

    def _payloads(self, requester: bytes, own: bytes, found: Iterable[StoredPayload]) -> tuple[list[bytes], int]:
        """Entries of one page, and the number of the last."""
        payloads: list[bytes] = []
        size = last = 0
        for stored in found:
            entry = self._entry(stored, requester, own)
            if payloads and size + len(entry) > MAX_PAGE_BYTES:
                break
            payloads.append(entry)
            size, last = size + len(entry), stored.number
        return payloads, last

    def _entry(self, stored: StoredPayload, requester: bytes, own: bytes) -> bytes:
        """What it is given of one payload: its own box, and what is kept here of others' to keep for them."""
        payload, left_out = stored.payload, {requester, stored.payload.sender, *self._hidden}
        recovery_boxes = {p: payload.boxes[position] for p, position in stored.parties.items() if p not in left_out}
        return encode_map({"body": self._stripped(stored, requester, own), "boxes": encode_boxes(recovery_boxes)})

    def _stripped(self, stored: StoredPayload, requester: bytes, own: bytes) -> bytes:
        """Its own box. What the requester sent and we only received, it opens by our box."""
        position = stored.parties[requester]
        if requester == stored.payload.sender and own in stored.parties:
            position = stored.parties[own]
        return encode_payload(stored.payload.only([position]))


def _encoded(payloads: Sequence[bytes], groups: Iterable[bytes], following: int) -> bytes:
    records = [encode_map({"body": record}) for record in groups]
    return encode_map({"payloads": encode_array(list(payloads)), "groups": encode_array(records), "next": following})


class PayloadRecovery:
    """Asks other managers, over `sender`, for what is missing here."""

    def __init__(self, manager: LocalTransactionManager, sender: PeerSender) -> None:
        self._manager = manager
        self._sender = sender
        self._reached: dict[tuple[bytes, bytes], int] = {}

    def recover_everything(self, keys: Container[bytes]) -> tuple[int, set[bytes]]:
        """Ask the managers of `keys` for everything; how many payloads came, and which answered to the end."""
        total, answered = 0, set()
        for own in self._own():
            for key, url in self._others():
                if key in keys:
                    count, finished = self._everything(own, key, url)
                    total += count
                    if finished:
                        answered.add(key)
        return total, answered

    def recover_payloads(self, wanted: Sequence[bytes]) -> int:
        """Ask the known managers for these payloads, at most `MAX_WANTED_PAYLOADS`, until they have come; how many came."""
        total = 0
        for own in self._own():
            for places in _waves(self._others()):
                left = [key for key in wanted if not self._manager.has(key, own.public)]
                if not left:
                    break
                total += sum(page[0] for page in self._pages(own, places, 0, left) if page is not None)
        return total

    def _own(self) -> list[KeyPair]:
        return [self._manager.keys.sender(public) for public in self._manager.keys.public_keys]

    def _others(self) -> list[tuple[bytes, str]]:
        return [(key, url) for key, url in self._manager.view.keys.items() if self._manager.keys.find_pair(key) is None]

    def _everything(self, own: KeyPair, key: bytes, url: str) -> tuple[int, bool]:
        """How many came, and whether that is all: if not, the next call goes on where this one was refused."""
        total, place = 0, (own.public, key)
        for _ in range(MAX_PAGES):
            after = self._reached.get(place, 0)
            (page,) = self._pages(own, [(key, url)], after, ())
            if page is None:
                return total, False
            total += page[0]
            if page[1] <= after:
                self._reached.pop(place, None)
                return total, True
            self._reached[place] = page[1]
        return total, False

    def _pages(
        self, own: KeyPair, places: Sequence[tuple[bytes, str]], after: int, wanted: Sequence[bytes]
    ) -> list[tuple[int, int] | None]:
        """One page of each key's manager: how many payloads came, and after which number the next begins; None where there
        is no answer."""
        fields = {"after": after, "wanted": list(wanted)}
        pages = ask(self._sender, RECOVER_PATH, own, [OutgoingRequest(key, url, fields) for key, url in places])
        return [
            None if page is None else self._taken(own, key, url, page)
            for (key, url), page in zip(places, pages, strict=True)
        ]

    def _taken(self, own: KeyPair, key: bytes, url: str, page: CborFields) -> tuple[int, int] | None:
        try:
            payloads, groups, following = page.take("payloads", list), page.take("groups", list), page.take("next", int)
            for group in groups:
                self._keep_group(CborFields(group, "recovery.groups").bytes("body"), own, key)
            return sum(self._keep(CborFields(item, "recovery"), own, key) for item in payloads), following
        except (CborError, EnclaveError) as error:
            log.info(f"{url} answers a recovery with what cannot be used: {error}")
            return None

    def _keep(self, entry: CborFields, own: KeyPair, key: bytes) -> int:
        payload = decode_payload(entry.bytes("body"))
        recovery_boxes = decode_boxes(entry.take("boxes", bytes, True) or b"")
        mine = restore_own_box(payload, key, own) if payload.sender == own.public else None
        kept = mine if mine is not None else payload
        readers = find_own_boxes(kept, KeyRing([own]))
        if not readers or self._manager.has(kept.key, own.public):
            return 0
        return self._manager.store_recovered_payload(kept, readers, recovery_boxes)

    def _keep_group(self, body: bytes, own: KeyPair, key: bytes) -> None:
        """One group that is refused keeps no other from coming back."""
        record = decode_group(body)
        if own.public in record.members:
            with suppress(EnclaveError):
                self._manager.store_recovered_group(record, key)


def _waves(places: Iterable[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
    """Keys with the URLs of their managers, some at a time: so none waits for all others that are silent, nor a manager for
    the many keys that another claims."""
    keys_at: dict[str, deque[bytes]] = {}
    for key, url in places:
        keys_at.setdefault(url, deque()).append(key)
    while keys_at:
        urls = list(keys_at)
        for number in range(0, len(urls), MAX_MANAGERS_AT_ONCE):
            yield [(keys_at[url].popleft(), url) for url in urls[number : number + MAX_MANAGERS_AT_ONCE]]
        keys_at = {url: keys for url, keys in keys_at.items() if keys}


def _wish(proven: ProvenRequest) -> tuple[int, list[bytes]]:
    """After which number a page is to begin, or the payloads that are wanted; EnclaveError `EnclaveNotPayloadOwner`."""
    try:
        after, wanted = proven.fields.take("after", int), proven.fields.take("wanted", list)
        proven.fields.end()
    except CborError:
        raise EnclaveError(REFUSED_CODE) from None
    if not 0 <= after < 1 << 62 or len(wanted) > MAX_WANTED_PAYLOADS or any(type(key) is not bytes for key in wanted):
        raise EnclaveError(REFUSED_CODE)
    return after, wanted
