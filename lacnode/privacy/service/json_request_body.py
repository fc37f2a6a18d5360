"""The JSON bodies of the client API, read strictly: Orion refuses unknown fields."""

from collections.abc import Sequence
from typing import Any

from lacnode.privacy.keys import KEY_BYTES, from_base64, public_key_of, to_base64
from lacnode.privacy.manager.bounded_json import read_json
from lacnode.privacy.transaction_manager import EnclaveError, PrivacyGroup

UNREADABLE = "ObjectJsonDeserialization"


class JsonRequestBody:
    """The fields of one JSON object; EnclaveError `ObjectJsonDeserialization` for anything else in it."""

    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        try:
            fields = read_json(data)
        except ValueError:
            raise EnclaveError(UNREADABLE) from None
        if not isinstance(fields, dict) or not fields.keys() <= set(names):
            raise EnclaveError(UNREADABLE)
        self._fields: dict[str, Any] = fields

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        """A string; empty where absent."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise EnclaveError(UNREADABLE)
        return value

    def data(self, name: str) -> bytes:
        """Base64; empty where absent."""
        try:
            return from_base64(self.text(name))
        except ValueError:
            raise EnclaveError(UNREADABLE) from None

    def key(self, name: str) -> bytes | None:
        """A public key; None where absent."""
        return public_key_of(self._fields[name]) if self.has(name) else None

    def keys(self, name: str) -> list[bytes]:
        """Public keys; empty where absent."""
        values = self._fields.get(name) or []
        if not isinstance(values, list):
            raise EnclaveError(UNREADABLE)
        return [public_key_of(value) for value in values]

    def id(self, name: str, unknown: str) -> bytes:
        """32 bytes; EnclaveError with the code `unknown` for any other text, since nothing has such an id."""
        try:
            return from_base64(self.text(name), KEY_BYTES)
        except ValueError:
            raise EnclaveError(unknown) from None


def group_json(group: PrivacyGroup) -> dict[str, Any]:
    """As the client API shows a group."""
    return {
        "privacyGroupId": to_base64(group.id),
        "name": group.name,
        "description": group.description,
        "type": group.type.value,
        "members": [to_base64(member) for member in group.members],
    }
