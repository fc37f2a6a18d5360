"""What this manager answers to Tesseras. All that they say is strangers' word, as any peer's; see LocalTransactionManager.

`/resend` is not answered: a Tessera asks it without proving the key that it asks for.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog

from lacnode.privacy.keys import to_base64
from lacnode.privacy.manager.local_transaction_manager import LocalTransactionManager
from lacnode.privacy.manager.orion_party_info import PartyInfo
from lacnode.privacy.manager.tessera.tessera_encoding import TesseraError
from lacnode.privacy.manager.tessera.tessera_group import decode_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import proof
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.manager.tessera.tessera_party_info import decode_party_info, encode_party_info
from lacnode.privacy.manager.tessera.tessera_payload import NO_GROUP, TesseraPayload, decode_payload
from lacnode.privacy.transaction_manager import EnclaveError

log = structlog.get_logger("privacy")

T = TypeVar("T")


class TesseraPeerApi:
    """EnclaveError for what is refused."""

    def __init__(self, manager: LocalTransactionManager, nodes: TesseraNodes) -> None:
        self._manager = manager
        self._nodes = nodes

    def pushed(self, body: bytes) -> str:
        """Keep a payload; the text of its key. Refused besides what `accept` refuses: enhanced privacy, and no group."""
        payload = _read(_of_a_group, body).payload
        self._manager.accept(payload)
        return to_base64(payload.key)

    def receive_group(self, body: bytes) -> None:
        """Keep a group; see `accept_group`."""
        self._manager.accept_group(_read(decode_group, body))

    def party_info(self, body: bytes) -> bytes:
        """Our URL. What the Tessera says of itself is not taken from here: it may be anyone's, and is asked for."""
        _read(decode_party_info, body)
        return encode_party_info(PartyInfo(self._nodes.party_info().url))

    def proof(self, body: bytes) -> bytes:
        """The UUID that proves an own key."""
        return _read(lambda sealed: proof(sealed, self._manager.keys), body)


def _of_a_group(body: bytes) -> TesseraPayload:
    found = decode_payload(body)
    if found.payload.group_id == NO_GROUP:
        raise TesseraError("payload.privacyGroupId: a group was expected: only Tesseras in orion mode name one")
    return found


def _read(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except TesseraError as error:
        log.info(f"a Tessera was refused: {error}")
        raise EnclaveError("InvalidPayload") from None
