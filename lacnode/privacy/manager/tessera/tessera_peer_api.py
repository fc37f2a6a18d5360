"""The answers of this manager to Tesseras. A Tessera proves nothing about itself here: `PayloadIntake` and
`ManagedGroups` check what it sends.

This manager does not answer `/resend`, because a Tessera proves no key for it.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import decode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import answer_key_challenge
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_party_info import decode_tessera_party_info, encode_tessera_party_info
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, TesseraPayload, decode_tessera_payload
from lacnode.privacy.transaction_manager import EnclaveError
from lacnode.rate_limited_log import RateLimitedLog

_log = RateLimitedLog("privacy", time.monotonic)

T = TypeVar("T")


class TesseraPeerApi:
    """Answers the requests that Tessera managers send to this manager. From each method EnclaveError if the request is
    refused, and EnclaveUnreachableError if the store fails."""

    def __init__(self, manager: LocalTransactionManager, nodes: TesseraNodes) -> None:
        self._manager = manager
        self._nodes = nodes

    def receive_push(self, body: bytes) -> str:
        """Store the payload in `body` (Tessera's form), which a Tessera pushes. Return its key in base64. A payload
        that is stored already is no error.

        EnclaveError `InvalidPayload` if it is malformed, of enhanced privacy or without a group,
        `EnclaveKeysCannotDecryptPayload` if no own key opens it, otherwise as for `PayloadIntake.store_opened`.
        """
        payload = _decode_or_refuse(_decode_group_payload, body).payload
        self._manager.intake.accept_push(payload)
        return to_base64(payload.key)

    def receive_group(self, body: bytes) -> None:
        """Store the group in `body` (Tessera's form), which a Tessera announces without a proof. EnclaveError
        `InvalidPayload` if the record is malformed, `PrivacyGroupNotStored` if it is refused."""
        self._manager.groups.accept_announced_record(_decode_or_refuse(decode_tessera_group, body))

    def answer_party_info(self, body: bytes) -> bytes:
        """Return the own URL as a party info in Tessera's form, without keys. The statements in `body` are checked for
        their form and not stored: any machine can send them. EnclaveError `InvalidPayload` if they are malformed."""
        _decode_or_refuse(decode_tessera_party_info, body)
        return encode_tessera_party_info(PartyInfo(self._nodes.own_party_info().url))

    def answer_challenge(self, body: bytes) -> bytes:
        """Return the UUID (ASCII) of the challenge in `body`, which proves an own key. EnclaveError `InvalidPayload` if
        it is malformed or for no own key."""
        return _decode_or_refuse(lambda sealed: answer_key_challenge(sealed, self._manager.keys), body)


def _decode_group_payload(body: bytes) -> TesseraPayload:
    found = decode_tessera_payload(body)
    if found.payload.group_id == NO_GROUP:
        raise TesseraError("payload.privacyGroupId: a group was expected: only Tesseras in orion mode name one")
    return found


def _decode_or_refuse(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except TesseraError as error:
        _log.info("refused", f"a Tessera was refused: {error}")
        raise EnclaveError("InvalidPayload") from None
