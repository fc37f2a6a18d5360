"""The transaction manager in this process: Orion's operations on a store, a key ring and a sender to other managers.

A payload is stored before it is sent, and before its key is given to the client. A pushed payload is believed only as far as
an own key opens it. This module must not hold a plaintext longer than a call, and must not log it.
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
"""The largest payload in bytes. Other managers accept a request of this size with its boxes and no larger one."""

MEMBERS_NAMED_IN_MESSAGES = 10
"""The largest number of recipients in one error text."""


class LocalTransactionManager:
    """A `TransactionManager`, and the answers to other managers.

    EnclaveUnreachableError stands for a store that fails. With `proofs`, nothing is sent to a manager that should prove the
    recipient's key and does not.
    """

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
        self._always_send_to = tuple(always_send_to)
        self._missing_payloads = missing
        self._tessera = tessera
        self._url_finder = MemberUrlFinder(peers, tessera, proofs)
        self._delivery = PayloadDelivery(sender, tessera)
        # The group rules read the records through `_call_store`. A failing store is then reported as such, and not as an
        # unknown group, which would refuse good payloads.
        self._groups = KnownGroups(
            lambda group_id: self._call_store(store.find_group, group_id),
            lambda record: self._call_store(store.put_group, record),
            self._always_send_to,
            lambda: self._peers.party_info.keys,
        )
        self._listeners: list[Callable[[bytes], None]] = []

    def on_payload_stored(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with the key of every new payload. Any thread may call it, so it must be quick."""
        self._listeners.append(listener)

    @property
    def keys(self) -> KeyRing:
        """The own keys."""
        return self._keys

    @property
    def party_info(self) -> PartyInfo:
        """The known managers and their keys."""
        return self._peers.party_info

    @property
    def known_urls(self) -> Mapping[bytes, str]:
        """The public keys (32 bytes) that can be sent to, and the URLs of their managers."""
        # Both may claim one key. The directory comes last and wins, as in `MemberUrlFinder`.
        return {**({} if self._tessera is None else self._tessera.key_urls), **self.party_info.keys}

    def has_payload(self, key: bytes, party: bytes) -> bool:
        """Return True if the payload `key` (32 bytes) is stored and `party` (32 bytes) can read it."""
        stored = self._call_store(self._store.find_payload, key)
        return stored is not None and party in stored.parties

    # -- the client's side -------------------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Return True if the store answers."""
        try:
            self._store.is_empty()
        except StoreError:
            return False
        return True

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """See `TransactionManager.send`."""
        own = self._keys.sender(sender).public
        # Orion's rule: the group consists of the recipients, the keys of `alwayssendto` and the sender. The order is
        # the order of the boxes. `dict.fromkeys` removes repetitions and keeps the order.
        members = tuple(dict.fromkeys((*recipients, *self._always_send_to, own)))
        record = GroupRecord.legacy(members)
        return self._send(payload, own, members, record.id, named=recipients, new=record)

    def send_to_group(self, payload: bytes, sender: bytes | None, group_id: bytes) -> bytes:
        """See `TransactionManager.send_to_group`. EnclaveError `PrivacyGroupNotFound` if the sender is not a member."""
        own = self._keys.sender(sender).public
        record = self._active(group_id)
        if own not in record.members:
            raise EnclaveError("PrivacyGroupNotFound")
        # The keys of `alwayssendto` receive the payload too, but the group keeps its own members and its id.
        return self._send(payload, own, (*record.members, *self._always_send_to), group_id, named=record.members)

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
        # All managers are found and asked for proofs before anything is stored or sent. One missing member must not
        # leave a payload that half of the group has.
        recipients = [member for member in dict.fromkeys(members) if member != own]
        places = self._find_member_urls(recipients)
        if new is not None:
            self._check_shareable(new, places.urls)
        # A key that is no point of the curve makes libsodium raise. The client gets Orion's error for it.
        try:
            sealed = encrypt(payload, self._keys.sender(own), recipients, group_id)
        except (ValueError, RuntimeError):
            raise EnclaveError("EnclaveEncryptCombineKeys") from None
        # Parties are the recipients and the sender, with the positions of their boxes. The sender's box is the last.
        parties = {party: position for position, party in enumerate((*recipients, own))}
        # From here on the payload is durable. It may reach another manager before this process stops, so it must be on
        # the disk first: the marker of the transaction then never names a payload that its own sender lost.
        self._call_store(self._store.put_payload, sealed, parties)
        if new is not None:
            self._call_store(self._store.update_group, new.id, lambda known: _legacy_record_to_store(new, known))
        # Only recipients that the client named are revealed to each other. The keys of `alwayssendto` stay hidden.
        revealed = set(named) & set(recipients)
        reached = self._delivery.deliver_payload(
            sealed, self._keys.sender(own), parties, places.reachable_urls, revealed
        )
        left_out = places.members_not_at(reached)
        result = "not delivered to all" if left_out else "ok"
        # The result is logged in any case, and before the client gets an error. The audit log must show a delivery that
        # failed in part.
        entry = audit_entry("sent", sealed.key, own, recipients, group_id, result, places.unproven)
        self._call_store(self._store.append_audit, entry)
        if left_out:
            raise EnclaveError("NodePropagatingToAllPeers", f"not delivered to {_list_keys(left_out)}")
        return sealed.key

    def _find_member_urls(self, members: Iterable[bytes]) -> MemberUrls:
        """Return the URLs of the managers of those `members` that are not own keys. EnclaveError if one is unknown."""
        others = [member for member in members if self._keys.find_pair(member) is None]
        try:
            return self._url_finder.find_urls(others)
        except MemberUrlError as error:
            raise EnclaveError(error.code, str(error)) from None

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """See `TransactionManager.receive`. EnclaveError if the payload is not here or if no own key opens it."""
        stored = self._call_store(self._store.find_payload, key)
        if stored is None:
            if self._missing_payloads is not None:
                # The payload may come later: it was lost here, or its push is still under way. The queue asks for it.
                self._missing_payloads.note_missing(key)
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
        """See `TransactionManager.create_group`. EnclaveError if the sender is no member or a manager does not confirm."""
        own = self._keys.sender(sender).public
        if own not in members:
            raise EnclaveError("CreatePrivacyGroupShouldIncludeSelf")
        # The random seed makes the id of the group unpredictable. Two groups of the same members then differ.
        distinct = tuple(dict.fromkeys(members))
        seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
        record = GroupRecord(distinct, name, description, True, GroupType.PANTHEON, seed)
        self._check_new(record)
        # The members' managers are told first. A group that one manager does not know must not exist here: its
        # payloads would be refused there.
        unproven = self._announce_group(record, own)
        entry = audit_entry("group-created", bytes(32), own, distinct, record.id, unproven=unproven)
        self._call_store(self._store.put_group, record, entry)
        return record.group

    def _check_new(self, record: GroupRecord) -> None:
        """Check that a record which the client's seed gives is new. Such a seed may give the id of an existing group."""
        if record.has_recipients_id:
            raise EnclaveError("EnclavePrivacyGroupIdCreation", "the seed gives the id of a group of recipients")
        if self._call_store(self._store.find_group, record.id) not in (None, record):
            raise EnclaveError("PrivacyGroupNotStored", "the members have a group by this seed, or had it")

    def delete_group(self, group_id: bytes, sender: bytes | None) -> bytes:
        """See `TransactionManager.delete_group`. EnclaveError `PrivacyGroupNotDeleted` if the sender may not delete it."""
        own = self._keys.sender(sender).public
        record = self._call_store(self._store.find_group, group_id)
        if record is None or not record.active or own not in record.members:
            raise EnclaveError("PrivacyGroupNotDeleted")
        if record.type is GroupType.LEGACY:
            raise EnclaveError("PrivacyGroupNotDeleted", "it is a group of recipients, which is there without a record")
        # The record stays with `active` False. Without it, an old record of another manager would bring the group back.
        gone = replace(record, active=False)
        unproven = self._announce_group(gone, own)
        entry = audit_entry("group-deleted", bytes(32), own, record.members, group_id, unproven=unproven)
        self._call_store(self._store.put_group, gone, entry)
        return group_id

    def _announce_group(self, record: GroupRecord, own: bytes) -> Sequence[bytes]:
        """Send a group record to the managers of the other members. Return the members without a proof."""
        places = self._find_member_urls(record.members)
        self._check_shareable(record, places.urls)
        reached = self._delivery.announce_group(record, self._keys.sender(own), places.reachable_urls)
        left_out = places.members_not_at(reached)
        if left_out:
            raise EnclaveError("PrivacyGroupNotPushed", f"not told to {_list_keys(left_out)}")
        return places.unproven

    def _check_shareable(self, record: GroupRecord, places: Mapping[bytes, str]) -> None:
        # The members of a Tessera would get another group id from their Tessera. Payloads would never find their group.
        if self._delivery.find_tesseras(places.values()) and not has_tessera_id(record.members, record.seed):
            raise EnclaveError(
                "EnclavePrivacyGroupIdCreation", "the group is too large for a Tessera, which would name it otherwise"
            )

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """See `TransactionManager.find_groups`."""
        return [record.group for record in self._call_store(self._store.find_groups, members)]

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """See `TransactionManager.retrieve_group`."""
        return self._active(group_id).group

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """See `TransactionManager.widened_members`."""
        return self._groups.widened_members(named, group_id)

    def _active(self, group_id: bytes) -> GroupRecord:
        record: GroupRecord | None = self._call_store(self._store.find_group, group_id)
        if record is None or not record.active:
            raise EnclaveError("PrivacyGroupNotFound")
        return record

    # -- the peers' side: all arguments come from other managers, and are believed only as far as they are proven ------

    def receive_push(self, body: bytes) -> str:
        """Store a payload that a manager pushes, as `accept` does. Return its key in base64."""
        payload = self._decode_or_refuse(decode_payload, body)
        self.accept(payload)
        return to_base64(payload.key)

    def receive_push_with_boxes(self, body: bytes) -> str:
        """Store a pushed payload and its recovery boxes. Return the key of the payload in base64.

        EnclaveError `InvalidPayload` if the boxes are not from the sender of the payload, or belong to another payload.
        """
        push = self._decode_or_refuse(lambda body: decode_push_with_boxes(body, self._keys), body)
        payload = self._decode_or_refuse(decode_payload, push.payload)
        # The sealed part names the key and proves the sender. A third party can therefore not add boxes to a payload.
        if (payload.key, payload.sender) != (push.key, push.sender):
            raise EnclaveError("InvalidPayload")
        self.accept(payload, push.boxes)
        return to_base64(payload.key)

    def accept(self, payload: EncryptedPayload, recovery_boxes: Mapping[bytes, bytes] | None = None) -> None:
        """Store a payload that a manager pushes, and `recovery_boxes`.

        EnclaveError if no own key opens the payload, or if `keep` refuses it. Nothing is stored then.
        """
        # A payload that no own key opens is useless here. To store it would let any manager fill the disk.
        readers = find_own_boxes(payload, self._keys)
        if not readers:
            raise EnclaveError("EnclaveKeysCannotDecryptPayload")
        self.store_payload(payload, readers, "received", recovery_boxes)

    def store_payload(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        event: str,
        recovery_boxes: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Store a payload that own keys open.

        `readers` are the own keys with the positions of their boxes. `recovery_boxes` are boxes of other parties that have
        none here. `event` is for the audit log.

        EnclaveError `PrivacyGroupNotFound` if the payload does not belong to its group, `InvalidPayload` if its key has
        another payload already or if it is too large, `StorageQuotaExceeded` if a quota is reached.
        """
        if len(payload.cipher_text) > MAX_PAYLOAD_BYTES + MAC_BYTES:
            # It could never be given back: a reader accepts no recovery answer of this size.
            raise EnclaveError("InvalidPayload")
        self._check_ownership(payload, readers)
        own = payload.only(list(readers.values()))
        parties = {reader: position for position, reader in enumerate(readers)}
        # The sender can open the box of its recipient too. So it can recover the payload from this manager.
        parties.setdefault(payload.sender, 0)
        # A box of a party that has one already is not taken over. It could replace a good box by a useless one. An own
        # key needs no recovery box: either it opened the payload above, or the box is false.
        others = {
            party: box
            for party, box in (recovery_boxes or {}).items()
            if party not in parties and self._keys.find_pair(party) is None
        }
        # The boxes of other recipients come after the own boxes. The positions of the parties follow this order.
        kept = replace(own, boxes=(*own.boxes, *others.values()))
        parties |= {party: position for position, party in enumerate(others, len(own.boxes))}
        entry = audit_entry(event, kept.key, kept.sender, list(readers), kept.group_id)
        try:
            # Only pushes count against the quota. The operator asked for recovered payloads.
            new = self._call_store(self._store.put_payload, kept, parties, entry, is_pushed=event == "received")
        except PayloadConflictError:
            raise EnclaveError("InvalidPayload") from None
        except QuotaExceededError as error:
            log.warning(f"a payload of {to_base64(payload.sender)} is refused: {error}")
            raise EnclaveError("StorageQuotaExceeded", str(error)) from None
        if self._missing_payloads is not None:
            self._missing_payloads.note_found(payload.key)
        # The node hears only of new payloads. A payload that is pushed twice must not start its group's rebuild twice.
        if new:
            for listener in self._listeners:
                listener(kept.key)

    def store_recovered_payload(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        recovery_boxes: Mapping[bytes, bytes] | None = None,
    ) -> int:
        """Store a payload that another manager gives back, as `keep` does. Return 1 if it was stored, else 0.

        A refused payload is left out. One bad payload must not stop the recovery of all others.
        """
        try:
            self.store_payload(payload, readers, "recovered", recovery_boxes)
        except EnclaveError:
            return 0
        return 1

    def _check_ownership(self, payload: EncryptedPayload, readers: Mapping[bytes, int]) -> None:
        """Check that the payload belongs to its group, before it is stored.

        This manager gives a stored payload to the node and to other managers as a payload of its group.
        """
        # One reader is enough. All readers opened the same cipher text, so they see the same plaintext.
        opened = decrypt_with(payload, self._keys.sender(next(iter(readers))))
        why = None if opened is None else self._groups.find_refusal(payload, opened[1])
        if why is not None:
            log.warning(f"a payload of {to_base64(payload.sender)} is refused: {why}", payload=to_base64(payload.key))
            raise EnclaveError("PrivacyGroupNotFound", why)

    def receive_group(self, body: bytes) -> str:
        """Store a group that a manager announces, as `accept_group` does. Return its id in base64."""
        record = self._decode_or_refuse(decode_group, body)
        self.accept_group(record)
        return to_base64(record.id)

    def receive_proven_group(self, body: bytes) -> str:
        """Store a group that a member announces with a proof of its key. Return its id in base64."""
        told = self._decode_or_refuse(lambda body: decode_proven_group(body, self._keys), body)
        self.accept_group(told.record, told.teller)
        return to_base64(told.record.id)

    def accept_group(self, record: GroupRecord, teller: bytes | None = None) -> None:
        """Store what is new in a group record that another manager announces. `group_acceptance` has the rules.

        `teller` is the key (32 bytes) that the other manager has proven, None without a proof. EnclaveError
        `PrivacyGroupNotStored` if the record is refused or no own key is a member.
        """
        # Orion and Tessera prove no key. Their announcements are accepted only if a member can be at such a manager.
        if teller is None and not self._url_finder.accepts_unproven_group(record.members):
            raise EnclaveError("PrivacyGroupNotStored", "the sender proves no key, and every member's manager could")
        self._update_group(record, lambda known: accept_group_record(record, known, teller), is_pushed=True)

    def store_recovered_group(self, record: GroupRecord, teller: bytes) -> None:
        """Store a group record that `teller` gives back. `teller` is a key (32 bytes) that the other manager has proven."""
        self._update_group(record, lambda known: accept_recovered_group(record, known, teller), is_pushed=False)

    def _update_group(
        self,
        record: GroupRecord,
        decide_record: Callable[[GroupRecord | None], GroupRecord | None],
        *,
        is_pushed: bool,
    ) -> None:
        if all(self._keys.find_pair(member) is None for member in record.members):
            raise EnclaveError("PrivacyGroupNotStored", "no own key is a member")
        try:
            # The decision is made inside the transaction of the store. Two announcements at the same time cannot both
            # decide by the old record.
            self._call_store(self._store.update_group, record.id, decide_record, is_pushed=is_pushed)
        except (GroupRefusedError, QuotaExceededError) as refused:
            log.warning(f"a group is refused: {refused}", group=to_base64(record.id))
            raise EnclaveError("PrivacyGroupNotStored", str(refused)) from None

    def exchange_party_info(self, body: bytes, source: str = "") -> bytes:
        """Add the party info of a manager at the address `source`. Return the own party info as it was before."""
        view = self._decode_or_refuse(partial(decode_orion_party_info, max_entries=MAX_NEW_ENTRIES_AT_ONCE), body)
        before = self._peers.encode_own_party_info()
        self._peers.add_party_info(view, source)
        return before

    def _decode_or_refuse(self, decode: Callable[[bytes], T], body: bytes) -> T:
        try:
            return decode(body)
        except CborError as error:
            log.info(f"a peer was refused: {error}")
            raise EnclaveError("ObjectJsonDeserialization") from None

    def _call_store(self, method: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(*arguments, **named)
        except StoreError as error:
            log.error(f"the manager cannot answer: {error}")
            raise EnclaveUnreachableError(str(error)) from None


def _legacy_record_to_store(new: GroupRecord, known: GroupRecord | None) -> GroupRecord | None:
    """What is kept of a group of recipients: a record of another kind under its id was accepted by an earlier version."""
    return new if known is None or known.type is not GroupType.LEGACY else None


def _list_keys(members: Sequence[bytes]) -> str:
    more = f" and {len(members) - MEMBERS_NAMED_IN_MESSAGES} more" if len(members) > MEMBERS_NAMED_IN_MESSAGES else ""
    return ", ".join(map(to_base64, members[:MEMBERS_NAMED_IN_MESSAGES])) + more
