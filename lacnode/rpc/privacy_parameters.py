"""Parameters of EEA and PRIV: keys and groups in base64, and the private room, which there may not be."""

import base64
import binascii
from collections.abc import Mapping

from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc.errors import invalid_params, privacy_disabled, unauthorized
from lacnode.rpc.parameters import text
from lacnode.rpc.services import RpcServices

MAX_KEYS_IN_LIST = 10_000
"""Keys in one list."""


def privacy_controller(services: RpcServices) -> PrivacyController:
    """The private side of the node; "Privacy is not enabled" if it has none."""
    if services.privacy is None:
        raise privacy_disabled()
    return services.privacy


def check_member(controller: PrivacyController, group: bytes, number: int | None = None) -> None:
    """ "Unauthorized" for a tenant that is no member of the group, as of block `number` or the head."""
    try:
        may_see_group = controller.may_see_group(group, number)
    except (EnclaveError, EnclaveUnreachableError):
        may_see_group = False
    if not may_see_group:
        raise unauthorized()


def key(value: object, what: str) -> bytes:
    """A public key: 32 bytes, or 91 for elliptic curves."""
    found = _base64(value, what)
    if len(found) not in (32, 91):
        raise invalid_params(f"{what}: a public key of 32 bytes in base64 was expected")
    return found


def keys(value: object, what: str) -> tuple[bytes, ...]:
    """A list of public keys."""
    if not isinstance(value, list) or len(value) > MAX_KEYS_IN_LIST:
        raise invalid_params(f"{what}: an array of keys in base64 was expected")
    return tuple(key(item, what) for item in value)


def group_id(value: object) -> bytes:
    """A privacy group's id, 32 bytes."""
    found = _base64(value, "privacyGroupId")
    if len(found) != 32:
        raise invalid_params("privacyGroupId: 32 bytes in base64 were expected")
    return found


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def optional_text(document: Mapping[str, object], name: str) -> str:
    """A member that is text or not there, which is the empty text."""
    value = document.get(name)
    return "" if value is None else text(value, name)


def _base64(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(text(value, what), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_params(f"{what}: base64 was expected") from None
