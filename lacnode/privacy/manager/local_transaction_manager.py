"""The transaction manager in this process: Orion's operations on a store, a key ring and a sender to other managers.

A payload is stored before it is sent, and before its key is given to the client. A pushed payload is believed only as far as
an own key opens it. This module must not hold a plaintext longer than a call, and must not log it.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from lacnode.privacy.keys import KeyRing
from lacnode.privacy.manager.audit_log import audit_entry
from lacnode.privacy.manager.delivery import PayloadDelivery, keys_for_error_text
from lacnode.privacy.manager.encrypted_payload import MAX_PAYLOAD_BYTES, decrypt_payload, encrypt_payload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.key_proofs import KeyProofs
from lacnode.privacy.manager.known_groups import KnownGroups
from lacnode.privacy.manager.managed_groups import ManagedGroups
from lacnode.privacy.manager.member_urls import MemberUrlFinder
from lacnode.privacy.manager.missing_payloads import MissingPayloads
from lacnode.privacy.manager.orion_party_info import PartyInfo, decode_orion_party_info
from lacnode.privacy.manager.payload_intake import PayloadIntake
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.peer_directory import MAX_NEW_ENTRIES_AT_ONCE, PeerDirectory
from lacnode.privacy.manager.peer_sender import PeerSender
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.manager.store_calls import call_store, decode_or_refuse
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.transaction_manager import EnclaveError, PrivacyGroup, ReceivedPayload


class LocalTransactionManager:
    """A `TransactionManager` in this process. Its `intake` and its `groups` have the answers to other managers. Safe to
    use from several threads. A call may block for calls to other managers.

    EnclaveUnreachableError stands for a store that fails. With `proofs`, nothing is sent to a manager that should prove
    the recipient's key and does not. `missing` is the queue of payloads to ask for, None for none.
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
        self._delivery = PayloadDelivery(keys, sender, tessera, MemberUrlFinder(peers, tessera, proofs))
        # The group rules read the records through `call_store`. A failing store is then reported as such, and not as an
        # unknown group, which would refuse good payloads.
        self._known_groups = KnownGroups(
            lambda group_id: call_store(store.groups.find, group_id),
            lambda record: call_store(store.groups.put, record),
            self._always_send_to,
            lambda: self._peers.party_info.keys,
        )
        self.groups = ManagedGroups(keys, store, self._delivery)
        self.intake = PayloadIntake(keys, store, self._known_groups, missing)

    @property
    def keys(self) -> KeyRing:
        """The key pairs of this manager."""
        return self._keys

    @property
    def peers(self) -> PeerDirectory:
        """The directory of other managers."""
        return self._peers

    @property
    def party_info(self) -> PartyInfo:
        """The known managers and their keys, with the own URL and keys. The best known entries come first."""
        return self._peers.party_info

    @property
    def known_urls(self) -> Mapping[bytes, str]:
        """The public keys (32 bytes) that can be sent to, and the URLs of their managers. The own keys are among them
        once the own URL is known."""
        # Both may claim one key. The directory comes last and wins, as in `MemberUrlFinder`.
        return {**({} if self._tessera is None else self._tessera.key_urls), **self.party_info.keys}

    def has_payload(self, key: bytes, party: bytes) -> bool:
        """Return True if the payload `key` (32 bytes) is stored and the public key `party` (32 bytes) can read it.
        `party` need not be an own key. EnclaveUnreachableError if the store fails."""
        return bool(self.find_readable_keys([key], party))

    def find_readable_keys(self, keys: Sequence[bytes], party: bytes) -> set[bytes]:
        """Return those of `keys` (32 bytes each) whose payload is stored and can be read by the public key `party` (32
        bytes). EnclaveUnreachableError if the store fails."""
        return call_store(self._store.find_readable_keys, keys, party)

    # -- the client's side -------------------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Return True if the store answers. Raises no error."""
        try:
            self._store.is_empty()
        except StoreError:
            return False
        return True

    def send(self, payload: bytes, sender: bytes | None, recipients: Sequence[bytes]) -> bytes:
        """Encrypt `payload` for `recipients` (public keys) and the sender (an own public key, None for the first one),
        store it, deliver it, and return its key (32 bytes). Its group is the LEGACY group of the sender, the recipients
        and `alwayssendto`.

        EnclaveError if the payload is empty or too large, the sender is not an own key, a recipient is unknown or no
        valid key, a recipient's manager does not prove its key, or a recipient's Tessera would give the group another
        id: nothing is stored then. EnclaveError `NodePropagatingToAllPeers` if a manager does not confirm: the payload
        is stored and may have reached others. EnclaveUnreachableError if the store fails: the payload may then be
        stored and delivered all the same.
        """
        own = self._keys.sender_pair(sender).public
        # Orion's rule: the group consists of the recipients, the keys of `alwayssendto` and the sender. The order is
        # the order of the boxes. `dict.fromkeys` removes repetitions and keeps the order.
        members = tuple(dict.fromkeys((*recipients, *self._always_send_to, own)))
        record = GroupRecord.legacy(members)
        return self._send(payload, own, members, record.id, named=recipients, new=record)

    def send_to_group(self, payload: bytes, sender: bytes | None, group_id: bytes) -> bytes:
        """Encrypt `payload` for the members of the group `group_id` (32 bytes) and the keys of `alwayssendto`, store
        it, deliver it, and return its key (32 bytes).

        `sender` is an own public key, None for the first one. EnclaveError `PrivacyGroupNotFound` if the group is
        unknown or deleted, or the sender is not a member. The other errors are those of `send`.
        """
        own = self._keys.sender_pair(sender).public
        record = self.groups.require_active_record(group_id)
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
        places = self._delivery.find_urls(recipients)
        if new is not None:
            self._delivery.require_same_id_at_tesseras(new, places.urls.values())
        # A key that is no point of the curve makes libsodium raise. The client gets Orion's error for it.
        try:
            sealed = encrypt_payload(payload, self._keys.sender_pair(own), recipients, group_id)
        except (ValueError, RuntimeError):
            raise EnclaveError("EnclaveEncryptCombineKeys") from None
        # Parties are the recipients and the sender, with the positions of their boxes. The sender's box is the last.
        parties = {party: position for position, party in enumerate((*recipients, own))}
        # From here on the payload is durable. It may reach another manager before this process stops, so it must be on
        # the disk first: the marker of the transaction then never names a payload that its own sender lost.
        call_store(self._store.put_payload, sealed, parties)
        if new is not None:
            self.groups.store_legacy_record(new)
        # Only recipients that the client named are revealed to each other. The keys of `alwayssendto` stay hidden.
        revealed = set(named) & set(recipients)
        reached = self._delivery.deliver_payload(
            sealed, self._keys.sender_pair(own), parties, places.reachable_urls, revealed
        )
        left_out = places.members_not_at(reached)
        result = "not delivered to all" if left_out else "ok"
        # The result is logged in any case, and before the client gets an error. The audit log must show a delivery that
        # failed in part.
        entry = audit_entry("sent", sealed.key, own, recipients, group_id, result, places.unproven)
        call_store(self._store.append_audit, entry)
        if left_out:
            raise EnclaveError("NodePropagatingToAllPeers", f"not delivered to {keys_for_error_text(left_out)}")
        return sealed.key

    def receive(self, key: bytes, to: bytes | None = None) -> ReceivedPayload:
        """Return the plaintext of the payload `key` (32 bytes) with its sender and group, opened with the private key
        of `to` (a public key) or of any own key.

        EnclaveError `EnclavePayloadNotFound` if the payload is not here. It then enters the queue `missing`, if there
        is one, and other managers are asked for it later. `EnclaveNoMatchingPrivateKey` if `to` is not an own key,
        `EnclaveKeysCannotDecryptPayload` if no such key opens it. EnclaveUnreachableError if the store fails.
        """
        stored = call_store(self._store.find_payload, key)
        if stored is None:
            if self._missing_payloads is not None:
                # The payload may come later: it was lost here, or its push is still under way. The queue asks for it.
                self._missing_payloads.add_missing(key)
            raise EnclaveError("EnclavePayloadNotFound")
        if to is not None and self._keys.find_pair(to) is None:
            raise EnclaveError("EnclaveNoMatchingPrivateKey")
        for public in self._keys.public_keys if to is None else (to,):
            opened = decrypt_payload(stored.payload, self._keys.sender_pair(public))
            if opened is not None:
                return ReceivedPayload(opened[1], stored.payload.sender, stored.payload.group_id)
        raise EnclaveError("EnclaveKeysCannotDecryptPayload")

    def record_missing_payload_signer(self, key: bytes, signer: bytes, is_known: bool) -> None:
        """Record that the account `signer` (20 bytes) signed the marker of the payload `key` (32 bytes), which is
        missing here. `is_known`: an earlier marker of this account was for this node.

        Other managers are asked for the payloads of known signers first, and such a payload enters the queue if it is
        not in it. That of an unknown signer must be in it already, otherwise nothing happens.
        """
        if self._missing_payloads is not None:
            self._missing_payloads.set_signer(key, signer, is_known=is_known)

    # -- groups ------------------------------------------------------------------------------------------------------

    def create_group(
        self,
        members: Sequence[bytes],
        sender: bytes | None,
        name: str = "",
        description: str = "",
        seed: bytes | None = None,
    ) -> PrivacyGroup:
        """Create a PANTHEON group of the public keys `members` (32 bytes each), announce it to the managers of all
        members, and store it. `sender` is an own key, None for the first one. The seed is random if `seed` is None.

        EnclaveError if the sender is no member, the seed gives the id of another group, a member's manager is unknown
        or does not prove its key, a member's Tessera would give the group another id, or a manager does not confirm. In
        each case the group is not stored here. In the last case others may have it. EnclaveUnreachableError if the
        store fails.
        """
        return self.groups.create(members, sender, name, description, seed)

    def delete_group(self, group_id: bytes, sender: bytes | None) -> bytes:
        """Announce the deletion of the group `group_id` to the managers of all members, delete it here, and return its
        id (32 bytes). Its record stays, as a deleted one. `sender` is an own key, None for the first one.

        EnclaveError `PrivacyGroupNotDeleted` if the group is unknown, deleted or LEGACY, or the sender is no member.
        `NodeMissingPeerUrl` if a member's manager is unknown or does not prove its key, `PrivacyGroupNotPushed` if a
        manager does not confirm: the group then stays here. EnclaveUnreachableError if the store fails.
        """
        return self.groups.delete(group_id, sender)

    def find_groups(self, members: Sequence[bytes]) -> Sequence[PrivacyGroup]:
        """Return the stored groups that have exactly these members (public keys of 32 bytes), in any order, the oldest
        group first. Deleted groups are left out. EnclaveUnreachableError if the store fails."""
        return self.groups.find(members)

    def retrieve_group(self, group_id: bytes) -> PrivacyGroup:
        """Return the group `group_id` (32 bytes). EnclaveError `PrivacyGroupNotFound` if it is unknown or deleted.
        EnclaveUnreachableError if the store fails."""
        return self.groups.retrieve(group_id)

    def pantheon_members(self, group_id: bytes) -> Collection[bytes] | None:
        """Return the members (public keys) of the PANTHEON group `group_id` (32 bytes), also of a deleted one. None if
        the group is unknown, empty if it has another type. EnclaveUnreachableError if the store fails."""
        return self._known_groups.pantheon_members(group_id)

    def widened_members(self, named: Sequence[bytes], group_id: bytes) -> Sequence[bytes] | None:
        """Return the members of the LEGACY group `group_id` (32 bytes) if they are the public keys `named` and more, as
        the `alwayssendto` of a sender makes them. None if they are not found. EnclaveUnreachableError if the store
        fails."""
        return self._known_groups.widened_members(named, group_id)

    def exchange_party_info(self, body: bytes, source: str = "") -> bytes:
        """Add the party info (Orion's CBOR) that a manager at the IP address `source` has sent unasked. Return the own
        party info as it was before, encoded in the same way. EnclaveError `ObjectJsonDeserialization` if `body` is
        malformed."""
        view = decode_or_refuse(partial(decode_orion_party_info, max_entries=MAX_NEW_ENTRIES_AT_ONCE), body)
        before = self._peers.encode_own_party_info()
        self._peers.add_party_info(view, source)
        return before
