"""The transaction manager in this process: Orion's operations on a store, a key ring and a way to reach peers.

A payload is stored before it is sent and before its key is given out. What peers push is believed only as far as it can
be opened. Must not hold plaintext longer than a call, nor log it.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

from lacnode.privacy.keys import KeyRing, to_base64
from lacnode.privacy.manager.audit_log import audit_entry
from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.delivery import PayloadDelivery
from lacnode.privacy.manager.encrypted_payload import (
    MAC_BYTES,
    EncryptedPayload,
    decode_payload,
    decrypt_with,
    encrypt,
    find_own_boxes,
)
from lacnode.privacy.manager.group_acceptance import GroupRefusedError, accept_group_record, accept_recovered_group
from lacnode.privacy.manager.group_record import GroupRecord, decode_group
from lacnode.privacy.manager.key_proofs import KeyProofs
from lacnode.privacy.manager.known_groups import KnownGroups
from lacnode.privacy.manager.member_urls import MemberUrlError, MemberUrlFinder, MemberUrls
from lacnode.privacy.manager.missing_payloads import MissingPayloads
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info
from lacnode.privacy.manager.payload_store import PayloadConflictError, PayloadStore
from lacnode.privacy.manager.peer_directory import MAX_NEW_ENTRIES_AT_ONCE, PeerDirectory
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.proven_group import decode_proven_group
from lacnode.privacy.manager.quota import QuotaExceededError
from lacnode.privacy.manager.recovery_boxes import decode_push_with_boxes
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.manager.tessera.tessera_group import has_tessera_id
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.transaction_manager import (
    EnclaveError,
    EnclaveUnreachableError,
    GroupType,
    PrivacyGroup,
    ReceivedPayload,
)

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("privacy")

SEED_BYTES = 20
MAX_PAYLOAD_BYTES = 15_728_640
"""Bytes: what other managers take in one request, its boxes and all."""

MEMBERS_NAMED_IN_MESSAGES = 10
"""Recipients that one error names."""


class LocalTransactionManager:
    """A TransactionManager, and the answers to its peers. EnclaveUnreachableError stands for a store that fails. With
    `proofs`,
    nothing is sent to a manager that should prove the recipient's key and does not."""

    def __init__(
        self,
        keys: KeyRing,
        store: PayloadStore,
        peers: PeerDirectory,
        sender: PeerSender,
        always_send_to: Sequence[bytes] = (),
        missing: MissingPayloads | None = None,
        proofs: KeyProofs | None = None,
        tessera: TesseraNodes | None = None,
    ) -> None:
        self._keys = keys
        self._store = store
        self._peers = peers
        self._always = tuple(always_send_to)
        self._missing = missing
        self._tessera = tessera
        self._places = MemberUrlFinder(peers, tessera, proofs)
        self._delivery = PayloadDelivery(sender, tessera)
        self._groups = KnownGroups(
            lambda group_id: self._guarded(store.group, group_id),
            lambda record: self._guarded(store.put_group, record),
            self._always,
            lambda: self._peers.view.keys,
        )
        self._listeners: list[Callable[[bytes], None]] = []

    def on_payload_stored(self, listener: Callable[[bytes], None]) -> None:
        """Have `listener` called with the key of every payload that is new, in whatever thread; it must be quick."""
        self._listeners.append(listener)

    @property
    def keys(self) -> KeyRing:
        """The own keys."""
        return self._keys

    @property
    def view(self) -> PartyInfo:
        """What is known of other managers."""
        return self._peers.view

    @property
    def known(self) -> Mapping[bytes, str]:
        """Every public key that can be sent to, and where its manager is."""
        return {**({} if self._tessera is None else self._tessera.places), **self.view.keys}

    def has(self, key: bytes, party: bytes) -> bool:
        """Whether the payload of `key` is here for `party` to read."""
        stored = self._guarded(self._store.payload, key)
        return stored is not None and party in stored.parties

    # -- the client's side -------------------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Whether the store answers."""
        try:
            self._store.is_empty()
        except StoreError:
            return False
        return True

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """See TransactionManager."""
        own = self._keys.sender(sender).public
        members = tuple(dict.fromkeys((*recipients, *self._always, own)))
        record = GroupRecord.legacy(members)
        return self._send(payload, own, members, record.id, named=recipients, new=record)

    def send_to_group(self, payload: bytes, sender: bytes | None, group_id: bytes) -> bytes:
        """See TransactionManager."""
        own = self._keys.sender(sender).public
        record = self._active(group_id)
        if own not in record.members:
            raise EnclaveError("PrivacyGroupNotFound")
        return self._send(payload, own, (*record.members, *self._always), group_id, named=record.members)

    def _send(
        self,
        payload: bytes,
        own: bytes,
        members: Sequence[bytes],
        group_id: bytes,
        named: Sequence[bytes],
        new: GroupRecord | None = None,
    ) -> bytes:
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            raise EnclaveError(
                "InvalidPayload", f"from 1 to {MAX_PAYLOAD_BYTES} bytes were expected, found {len(payload)}"
            )
        recipients = [member for member in dict.fromkeys(members) if member != own]
        places = self._placed(recipients)
        if new is not None:
            self._check_shareable(new, places.urls)
        try:
            sealed = encrypt(payload, self._keys.sender(own), recipients, group_id)
        except (ValueError, RuntimeError):
            raise EnclaveError("EnclaveEncryptCombineKeys") from None
        parties = {party: position for position, party in enumerate((*recipients, own))}
        self._guarded(self._store.put_payload, sealed, parties)
        if new is not None:
            self._guarded(self._store.update_group, new.id, lambda known: _kept_as_legacy(new, known))
        told_of = set(named) & set(recipients)
        reached = self._delivery.payload(sealed, self._keys.sender(own), parties, places.reachable_urls, told_of)
        left_out = places.not_in(reached)
        result = "not delivered to all" if left_out else "ok"
        entry = audit_entry("sent", sealed.key, own, recipients, group_id, result, places.unproven)
        self._guarded(self._store.append_audit, entry)
        if left_out:
            raise EnclaveError("NodePropagatingToAllPeers", f"not delivered to {_named(left_out)}")
        return sealed.key

    def _placed(self, members: Iterable[bytes]) -> MemberUrls:
        """Where the managers of `members` are that are not own keys, and how far that is proven; EnclaveError."""
        others = [member for member in members if self._keys.find_pair(member) is None]
        try:
            return self._places.of(others)
        except MemberUrlError as error:
            raise EnclaveError(error.code, str(error)) from None

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """See TransactionManager."""
        stored = self._guarded(self._store.payload, key)
        if stored is None:
            if self._missing is not None:
                self._missing.add(key)
            raise EnclaveError("EnclavePayloadNotFound")
        if to is not None and self._keys.find_pair(to) is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        for public in self._keys.public_keys if to is None else (to,):
            opened = decrypt_with(stored.payload, self._keys.sender(public))
            if opened is not None:
                return ReceivedPayload(opened[1], stored.payload.sender, stored.payload.group_id)
        raise EnclaveError("EnclaveKeysCannotDecryptPayload")

    # -- groups ------------------------------------------------------------------------------------------------------

    def create_group(
        self,
        members: Sequence[bytes],
        sender: bytes | None,
        name: str = "",
        description: str = "",
        seed: bytes | None = None,
    ) -> PrivacyGroup:
        """See TransactionManager."""
        own = self._keys.sender(sender).public
        if own not in members:
            raise EnclaveError("CreatePrivacyGroupShouldIncludeSelf")
        distinct = tuple(dict.fromkeys(members))
        seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
        record = GroupRecord(distinct, name, description, True, GroupType.PANTHEON, seed)
        self._check_new(record)
        unproven = self._spread(record, own)
        entry = audit_entry("group-created", bytes(32), own, distinct, record.id, unproven=unproven)
        self._guarded(self._store.put_group, record, entry)
        return record.group

    def _check_new(self, record: GroupRecord) -> None:
        """A seed that the client gives may make the id of a group that is there."""
        if record.has_recipients_id:
            raise EnclaveError("EnclavePrivacyGroupIdCreation", "the seed gives the id of a group of recipients")
        if self._guarded(self._store.group, record.id) not in (None, record):
            raise EnclaveError("PrivacyGroupNotStored", "the members have a group by this seed, or had it")

    def delete_group(self, group_id: bytes, sender: bytes | None) -> bytes:
        """See TransactionManager."""
        own = self._keys.sender(sender).public
        record = self._guarded(self._store.group, group_id)
        if record is None or not record.active or own not in record.members:
            raise EnclaveError("PrivacyGroupNotDeleted")
        if record.type is GroupType.LEGACY:
            raise EnclaveError("PrivacyGroupNotDeleted", "it is a group of recipients, which is there without a record")
        gone = replace(record, active=False)
        unproven = self._spread(gone, own)
        entry = audit_entry("group-deleted", bytes(32), own, record.members, group_id, unproven=unproven)
        self._guarded(self._store.put_group, gone, entry)
        return group_id

    def _spread(self, record: GroupRecord, own: bytes) -> Sequence[bytes]:
        """Tell the other members' managers of a group; the members that these do not prove."""
        places = self._placed(record.members)
        self._check_shareable(record, places.urls)
        reached = self._delivery.group(record, self._keys.sender(own), places.reachable_urls)
        left_out = places.not_in(reached)
        if left_out:
            raise EnclaveError("PrivacyGroupNotPushed", f"not told to {_named(left_out)}")
        return places.unproven

    def _check_shareable(self, record: GroupRecord, places: Mapping[bytes, str]) -> None:
        if self._delivery.tesseras(places.values()) and not has_tessera_id(record.members, record.seed):
            raise EnclaveError(
                "EnclavePrivacyGroupIdCreation", "the group is too large for a Tessera, which would name it otherwise"
            )

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """See TransactionManager."""
        return [record.group for record in self._guarded(self._store.groups_of, members)]

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """See TransactionManager."""
        return self._active(group_id).group

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """See TransactionManager."""
        return self._groups.widened_members(named, group_id)

    def _active(self, group_id: bytes) -> GroupRecord:
        record: GroupRecord | None = self._guarded(self._store.group, group_id)
        if record is None or not record.active:
            raise EnclaveError("PrivacyGroupNotFound")
        return record

    # -- the peers' side ---------------------------------------------------------------------------------------------

    def pushed(self, body: bytes) -> str:
        """Keep a payload that a peer pushes, as `accept` does; the text of its key."""
        payload = self._decoded(decode_payload, body)
        self.accept(payload)
        return to_base64(payload.key)

    def receive_push_with_boxes(self, body: bytes) -> str:
        """As `pushed`, and keep the boxes of other recipients that come with it. Refused if these are another's word than
        the payload's sender's, or told of another payload."""
        push = self._decoded(lambda body: decode_push_with_boxes(body, self._keys), body)
        payload = self._decoded(decode_payload, push.payload)
        if (payload.key, payload.sender) != (push.key, push.sender):
            raise EnclaveError("InvalidPayload")
        self.accept(payload, push.boxes)
        return to_base64(payload.key)

    def accept(self, payload: EncryptedPayload, recovery_boxes: Mapping[bytes, bytes] | None = None) -> None:
        """Keep a payload that a peer pushes, and `recovery_boxes`. Refused, and never stored: what no own key opens,
        and what
        `keep` refuses."""
        readers = find_own_boxes(payload, self._keys)
        if not readers:
            raise EnclaveError("EnclaveKeysCannotDecryptPayload")
        self.keep(payload, readers, "received", recovery_boxes)

    def keep(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        event: str,
        recovery_boxes: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Store a payload that own keys open: their boxes, and `recovery_boxes` for those that have none here; `event`
        is for the
        audit log. Refused are what does not belong to the group that it was sent to, and a second payload under a key that
        is taken: EnclaveError `PrivacyGroupNotFound` or `InvalidPayload`."""
        if len(payload.cipher_text) > MAX_PAYLOAD_BYTES + MAC_BYTES:
            # It could not be given back: no answer of a recovery is so long.
            raise EnclaveError("InvalidPayload")
        self._check_ownership(payload, readers)
        own = payload.only(list(readers.values()))
        parties = {reader: position for position, reader in enumerate(readers)}
        # The sender opens its recipient's box too, and so can have the payload back from us.
        parties.setdefault(payload.sender, 0)
        others = {
            party: box
            for party, box in (recovery_boxes or {}).items()
            if party not in parties and self._keys.find_pair(party) is None
        }
        kept = replace(own, boxes=(*own.boxes, *others.values()))
        parties |= {party: position for position, party in enumerate(others, len(own.boxes))}
        entry = audit_entry(event, kept.key, kept.sender, list(readers), kept.group_id)
        try:
            new = self._guarded(self._store.put_payload, kept, parties, entry, is_pushed=event == "received")
        except PayloadConflictError:
            raise EnclaveError("InvalidPayload") from None
        except QuotaExceededError as error:
            log.warning(f"a payload of {to_base64(payload.sender)} is refused: {error}")
            raise EnclaveError("StorageQuotaExceeded", str(error)) from None
        if self._missing is not None:
            self._missing.found(payload.key)
        if new:
            for listener in self._listeners:
                listener(kept.key)

    def store_recovered_payload(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        recovery_boxes: Mapping[bytes, bytes] | None = None,
    ) -> int:
        """As `keep`, for a payload that another manager gives back; how many were kept. What is refused is passed over, so
        that one bad payload keeps no other from coming back."""
        try:
            self.keep(payload, readers, "recovered", recovery_boxes)
        except EnclaveError:
            return 0
        return 1

    def _check_ownership(self, payload: EncryptedPayload, readers: Mapping[bytes, int]) -> None:
        """Before anything is stored: a payload that is kept is given to the node, and to other managers, as its group's."""
        opened = decrypt_with(payload, self._keys.sender(next(iter(readers))))
        why = None if opened is None else self._groups.refusal(payload, opened[1])
        if why is not None:
            log.warning(f"a payload of {to_base64(payload.sender)} is refused: {why}", payload=to_base64(payload.key))
            raise EnclaveError("PrivacyGroupNotFound", why)

    def receive_group(self, body: bytes) -> str:
        """Keep a group that a peer tells of, as `accept_group` does; the text of its id."""
        record = self._decoded(decode_group, body)
        self.accept_group(record)
        return to_base64(record.id)

    def receive_proven_group(self, body: bytes) -> str:
        """The same for a group that a member proves to tell of."""
        told = self._decoded(lambda body: decode_proven_group(body, self._keys), body)
        self.accept_group(told.record, told.teller)
        return to_base64(told.record.id)

    def accept_group(self, record: GroupRecord, teller: bytes | None = None) -> None:
        """Keep what is new of a group that a peer tells of (see `group_acceptance`, there also `teller`). EnclaveError
        `PrivacyGroupNotStored` if it is refused, or if no own key is a member."""
        if teller is None and not self._places.accepts_unproven_group(record.members):
            raise EnclaveError("PrivacyGroupNotStored", "who tells it proves no key, and every member's manager could")
        self._settle_group(record, lambda known: accept_group_record(record, known, teller), is_pushed=True)

    def store_recovered_group(self, record: GroupRecord, teller: bytes) -> None:
        """The same for a group that `teller`, who has proven that key, gives back."""
        self._settle_group(record, lambda known: accept_recovered_group(record, known, teller), is_pushed=False)

    def _settle_group(
        self,
        record: GroupRecord,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        *,
        is_pushed: bool,
    ) -> None:
        if all(self._keys.find_pair(member) is None for member in record.members):
            raise EnclaveError("PrivacyGroupNotStored", "no own key is a member")
        try:
            self._guarded(self._store.update_group, record.id, decide_record, is_pushed=is_pushed)
        except (GroupRefusedError, QuotaExceededError) as refused:
            log.warning(f"a group is refused: {refused}", group=to_base64(record.id))
            raise EnclaveError("PrivacyGroupNotStored", str(refused)) from None

    def exchange_party_info(self, body: bytes, source: str = "") -> bytes:
        """Learn the network view of a peer at the address `source`; our own as it was before."""
        view = self._decoded(partial(decode_orion_party_info, max_entries=MAX_NEW_ENTRIES_AT_ONCE), body)
        before = self._peers.encode_own_party_info()
        self._peers.learn(view, source)
        return before

    def _decoded(self, decode: Callable[[bytes], T], body: bytes) -> T:
        try:
            return decode(body)
        except CborError as error:
            log.info(f"a peer was refused: {error}")
            raise EnclaveError("ObjectJsonDeserialization") from None

    def _guarded(self, method: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(*arguments, **named)
        except StoreError as error:
            log.error(f"the manager cannot answer: {error}")
            raise EnclaveUnreachableError(str(error)) from None


def _kept_as_legacy(new: GroupRecord, known: GroupRecord | None) -> GroupRecord | None:
    """What is kept of a group of recipients: a record of another kind under its id was accepted by an earlier version."""
    return new if known is None or known.type is not GroupType.LEGACY else None


def _named(members: Sequence[bytes]) -> str:
    more = f" and {len(members) - MEMBERS_NAMED_IN_MESSAGES} more" if len(members) > MEMBERS_NAMED_IN_MESSAGES else ""
    return ", ".join(map(to_base64, members[:MEMBERS_NAMED_IN_MESSAGES])) + more
