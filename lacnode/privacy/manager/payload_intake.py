"""Payloads that come from other managers: pushed by them, or given back by them.

A payload is believed only as far as an own key opens it, and only if it belongs to its group. This module must not send
anything, must not hold a plaintext longer than a call, and must not log it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.audit_log import audit_entry
from lacnode.privacy.manager.encrypted_payload import (
    MAC_BYTES,
    MAX_PAYLOAD_BYTES,
    EncryptedPayload,
    decode_orion_payload,
    decrypt_payload,
    find_own_boxes,
    is_sealed_by,
)
from lacnode.privacy.manager.known_groups import KnownGroups
from lacnode.privacy.manager.missing_payloads import MissingPayloads
from lacnode.privacy.manager.payload_store import PayloadConflictError, PayloadStore
from lacnode.privacy.manager.quota import QuotaExceededError
from lacnode.privacy.manager.recovery_boxes import decode_push_with_boxes
from lacnode.privacy.manager.store_calls import call_store, decode_or_refuse
from lacnode.privacy.payload_ownership import NOT_THE_SENDER, PayloadParties, read_parties
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog


class PayloadIntake:
    """Checks the payloads that other managers send, and writes them to the database of this manager. Safe to use from
    any thread.

    All arguments come from other managers. Every method raises EnclaveUnreachableError if the database fails, so
    that no good payload is refused as unknown.
    """

    def __init__(
        self, keys: KeyRing, store: PayloadStore, groups: KnownGroups, missing: MissingPayloads | None
    ) -> None:
        self._keys = keys
        self._store = store
        self._groups = groups
        self._missing_payloads = missing
        self._listeners: list[Callable[[bytes], None]] = []
        # Any machine can send what is refused here. One line for each would fill the disk.
        self._log = RateLimitedLog("privacy", time.monotonic)

    def on_payload_stored(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with the key (32 bytes) of every new payload that another manager pushes or gives back, also
        of an own one that it gives back. Payloads that own clients send are not reported. Any thread may call the
        listener, so it must be quick."""
        self._listeners.append(listener)

    def receive_push(self, body: bytes) -> str:
        """Store the payload in `body` (Orion's CBOR), which another manager pushes. Return its key in base64.

        EnclaveError `ObjectJsonDeserialization` if it is malformed, `EnclaveKeysCannotDecryptPayload` if no own key
        opens it, otherwise as for `store_opened`. EnclaveUnreachableError if the database fails. A payload that is
        stored already is no error.
        """
        payload = decode_or_refuse(decode_orion_payload, body)
        # The payload has a copy of its cipher text. Opening it and storing it take its length twice more each.
        del body
        self.accept_push(payload)
        return to_base64(payload.key)

    def receive_push_with_boxes(self, body: bytes) -> str:
        """Store a pushed payload and its recovery boxes, both in `body` (CBOR). Return the key of the payload in
        base64.

        EnclaveError `InvalidPayload` if the boxes are not from the sender of the payload, or belong to another payload.
        If the boxes are not sealed for an own key, `EnclaveNoMatchingPrivateKey` or `EnclaveKeysCannotDecryptPayload`.
        Otherwise as for `receive_push`.
        """
        push = decode_or_refuse(lambda body: decode_push_with_boxes(body, self._keys), body)
        del body
        payload = decode_or_refuse(decode_orion_payload, push.payload)
        # The sealed part names the key and proves the sender. A third party can therefore not add boxes to a payload.
        if (payload.key, payload.sender) != (push.key, push.sender):
            raise EnclaveError("InvalidPayload")
        boxes = push.boxes
        del push
        self.accept_push(payload, boxes)
        return to_base64(payload.key)

    def accept_push(self, payload: EncryptedPayload, recovery_boxes: Mapping[bytes, bytes] | None = None) -> None:
        """Store a payload that another manager pushes, with the `recovery_boxes` of other parties by their public key.
        EnclaveError `EnclaveKeysCannotDecryptPayload` if no own key opens the payload, otherwise as for `store_opened`.
        Nothing is stored then."""
        # A payload that no own key opens is useless here. To store it would let any manager fill the disk.
        readers = find_own_boxes(payload, self._keys)
        if not readers:
            raise EnclaveError("EnclaveKeysCannotDecryptPayload")
        self.store_opened(payload, readers, "received", recovery_boxes, counts_to_quota=True)

    def store_opened(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        event: str,
        recovery_boxes: Mapping[bytes, bytes] | None = None,
        *,
        counts_to_quota: bool,
    ) -> None:
        """Store a payload that own keys open, and tell the queue of missing payloads. A new payload gets an entry in
        the audit log, and the listeners are called. A payload that is stored already gets its new boxes alone.

        `readers` are the own keys with the positions of their boxes (at least one). `recovery_boxes` are boxes of other
        parties, by their public key. Those of own keys and of parties with a box are left out. `event` is the event of
        the entry in the audit log. With `counts_to_quota` the payload counts for the quota of its sender. Otherwise
        only the free space on the disk is checked.

        EnclaveError `PrivacyGroupNotFound` if the payload does not belong to its group, `InvalidPayload` if its key has
        another payload already, if it is too large or would have more than `MAX_BOXES` boxes, `StorageQuotaExceeded` if
        a quota is reached or the disk is almost full. EnclaveUnreachableError if the database fails.
        """
        if len(payload.cipher_text) > MAX_PAYLOAD_BYTES + MAC_BYTES:
            # It could never be given back: a reader accepts no recovery answer of this size.
            raise EnclaveError("InvalidPayload")
        named = self._check_ownership(payload, readers)
        own = payload.with_boxes_at(list(readers.values()))
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
            new = call_store(
                self._store.put_payload,
                kept,
                parties,
                entry,
                is_pushed=counts_to_quota,
                is_recovered=not counts_to_quota,
            )
        except PayloadConflictError:
            raise EnclaveError("InvalidPayload") from None
        except QuotaExceededError as error:
            self._log.warning(str(error), f"a payload of {to_base64(payload.sender)} is refused: {error}")
            raise EnclaveError("StorageQuotaExceeded", str(error)) from None
        # After the payload: a refused one must leave nothing behind. Before the listeners: the node asks for the members.
        self._groups.store_record_if_widened(payload, named)
        if self._missing_payloads is not None:
            self._missing_payloads.remove_found(payload.key)
        # The node hears only of new payloads. A payload that is pushed twice must not start its group's rebuild twice.
        if new:
            for listener in self._listeners:
                listener(kept.key)

    def is_sent_by(self, payload: EncryptedPayload, own: KeyPair, helper: bytes, was_lost: bool) -> bool:
        """Return True if `own` is the sender of `payload`. The manager of the public key `helper` (32 bytes) has given
        it back as a payload of `own`, with the box of `own`.

        The nonce proves it. A payload of an earlier version, or of another kind of manager, has no such nonce. It
        passes only if the store `was_lost`, and if the private transaction in it names `helper` as a recipient.
        EnclaveUnreachableError if the database fails.
        """
        if is_sealed_by(payload, own):
            return True
        # Without a proof `helper` may have made it. In a group without `helper` it would be a stranger's. A store that
        # was not lost has every payload that it sent.
        opened = decrypt_payload(payload, own) if was_lost else None
        why = "it has no proof" if opened is None else self._why_not_sent_to(helper, payload, read_parties(opened[1]))
        if why is None:
            return True
        text = f"a payload that is given back as an own one is refused: {why}"
        self._log.warning(text, text, payload=to_base64(payload.key))
        return False

    def _why_not_sent_to(self, helper: bytes, payload: EncryptedPayload, parties: PayloadParties | None) -> str | None:
        # The sender comes first: ids of groups are computed from the keys in the payload, which `helper` may have chosen.
        if parties is not None and parties.private_from != payload.sender:
            return NOT_THE_SENDER
        return None if self._groups.is_named_recipient(payload, parties, helper) else "it has no proof"

    def store_recovered(
        self,
        payload: EncryptedPayload,
        readers: Mapping[bytes, int],
        recovery_boxes: Mapping[bytes, bytes] | None = None,
        *,
        counts_to_quota: bool,
    ) -> int:
        """Store a payload that another manager gives back. `readers` are the own keys that open it, with the positions
        of their boxes (at least one). `recovery_boxes` and `counts_to_quota` are as for `store_opened`. Return 1 if the
        payload was accepted, also if it was stored before, and 0 if it is refused, without an error: one bad payload
        must not stop the recovery of all others.
        EnclaveUnreachableError if the database fails."""
        try:
            self.store_opened(payload, readers, "recovered", recovery_boxes, counts_to_quota=counts_to_quota)
        except EnclaveError:
            return 0
        return 1

    def _check_ownership(self, payload: EncryptedPayload, readers: Mapping[bytes, int]) -> PayloadParties | None:
        """Check that the payload belongs to its group, before it is stored. Return the keys that it names, None if it has
        no private transaction.

        This manager gives a stored payload to the node and to other managers as a payload of its group.
        """
        # One reader is enough. All readers opened the same cipher text, so they see the same plaintext.
        reader = self._keys.sender_pair(next(iter(readers)))
        # No name is given to the plaintext, so that `read_parties` can free it.
        parties = read_parties(_opened_text(payload, reader))
        why = self._groups.find_refusal(payload, parties)
        if why is not None:
            text = f"a payload of {to_base64(payload.sender)} is refused: {why}"
            self._log.warning(why, text, payload=to_base64(payload.key))
            raise EnclaveError("PrivacyGroupNotFound", why)
        return parties


def _opened_text(payload: EncryptedPayload, reader: KeyPair) -> bytes:
    opened = decrypt_payload(payload, reader)
    assert opened is not None, "a reader opened it before"
    return opened[1]
