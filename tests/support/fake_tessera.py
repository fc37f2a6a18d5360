"""A stand-in for a Tessera in orion mode, as far as another manager sees it: its peer protocol in memory, by our codec.

What a real one sends and takes is in `tests/vectors/tessera.json` and `tests/integration/test_tessera.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload
from lacnode.privacy.manager.group_record import GroupRecord
from lacnode.privacy.manager.peer_sender import PeerCall
from lacnode.privacy.manager.tessera.tessera_group import decode_tessera_group
from lacnode.privacy.manager.tessera.tessera_key_challenge import answer_key_challenge
from lacnode.privacy.manager.tessera.tessera_party_info import decode_tessera_party_info
from lacnode.privacy.manager.tessera.tessera_payload import decode_tessera_payload, encode_tessera_payload


@dataclass
class FakeTessera:
    """Answers with `keys` and says to have `claims` too; what it is sent is in `payloads` and `groups`."""

    keys: tuple[KeyPair, ...]
    at: str
    """Its URL, as its configuration's `serverAddress` has it."""
    claims: tuple[bytes, ...] = ()
    is_down: bool = False
    names: Callable[[EncryptedPayload], str] = lambda payload: to_base64(payload.key)
    payloads: list[tuple[EncryptedPayload, tuple[bytes, ...]]] = field(default_factory=list)
    groups: list[GroupRecord] = field(default_factory=list)
    told: set[bytes] = field(default_factory=set)

    def answer(self, call: PeerCall) -> bytes | None:
        if self.is_down:
            return None
        if call.method == "GET":
            keys = [*(pair.public for pair in self.keys), *self.claims]
            return json.dumps(
                {"url": self.at, "peers": [], "keys": [{"key": to_base64(key), "url": self.at} for key in keys]}
            ).encode()
        found: bytes | None = getattr(self, "_" + call.path[1:].replace("/", "_").lower())(call.body)
        return found

    def _partyinfo(self, body: bytes) -> bytes:
        self.told |= set(decode_tessera_party_info(body).keys)
        return b""

    def _partyinfo_validate(self, body: bytes) -> bytes | None:
        try:
            return answer_key_challenge(body, KeyRing(self.keys))
        except ValueError:
            return None

    def _push(self, body: bytes) -> bytes:
        found = decode_tessera_payload(body)
        self.payloads.append((found.payload, found.recipients))
        return self.names(found.payload).encode()

    def _pushprivacygroup(self, body: bytes) -> bytes:
        self.groups.append(decode_tessera_group(body))
        return b""

    def _resend(self, body: bytes) -> bytes | None:
        asked = json.loads(body)
        for payload, recipients in self.payloads:
            if to_base64(payload.key) == asked["key"]:
                return encode_tessera_payload(payload, recipients)
        return None
