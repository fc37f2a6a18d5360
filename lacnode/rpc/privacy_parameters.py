"""Parameters of EEA and PRIV: keys and groups in base64, and the access to the private part of the node."""

import base64
import binascii
from collections.abc import Mapping

from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rpc.errors import invalid_params, privacy_disabled, unauthorized
from lacnode.rpc.parameters import parse_text
from lacnode.rpc.services import RpcServices

MAX_KEYS_IN_LIST = 10_000
"""Number of keys in one list."""


def privacy_controller(services: RpcServices) -> PrivacyController:
    """Return the private part of the node, for the tenant of the call if there are tenants. RpcError "Privacy is not
    enabled" if the node has no private part."""
    if services.privacy is None:
        raise privacy_disabled()
    return services.privacy


def check_member(controller: PrivacyController, group: bytes, number: int | None = None) -> None:
    """Check that the tenant of `controller` is a member of the group (32 bytes) after block `number`, or after the head
    if it is None. Without tenants every caller passes. Every tenant passes for a flexible group that does not exist
    yet.

    RpcError "Unauthorized" if the tenant is no member, or if the manager does not know the group or does not answer.
    CallLimitExceededError if a flexible group's contract does not answer in time, MissingNodeError if the state after
    that block is not kept.
    """
    try:
        may_see_group = controller.may_see_group(group, number)
    except (EnclaveError, EnclaveUnreachableError):
        # Without an answer of the manager the membership is unknown. The tenant must not see the group then.
        may_see_group = False
    if not may_see_group:
        raise unauthorized()


def parse_key(value: object, what: str) -> bytes:
    """Parse a public key in base64: 32 bytes, or 91 bytes for elliptic curves. RpcError "Invalid params", with `what`
    for the name of the parameter, for any other value."""
    found = _base64(value, what)
    if len(found) not in (32, 91):
        raise invalid_params(f"{what}: a public key of 32 bytes in base64 was expected")
    return found


def parse_keys(value: object, what: str) -> tuple[bytes, ...]:
    """Parse an array of public keys in base64 (`parse_key`), and return them in the same order. It may be empty.
    RpcError "Invalid params" for any other value, or if there are more than `MAX_KEYS_IN_LIST` keys."""
    if not isinstance(value, list) or len(value) > MAX_KEYS_IN_LIST:
        raise invalid_params(f"{what}: an array of keys in base64 was expected")
    return tuple(parse_key(item, what) for item in value)


def parse_group_id(value: object) -> bytes:
    """Parse the id of a privacy group, 32 bytes in base64. RpcError with the code -32602 for any other value. The group
    need not exist."""
    found = _base64(value, "privacyGroupId")
    if len(found) != 32:
        raise invalid_params("privacyGroupId: 32 bytes in base64 were expected")
    return found


def in_base64(data: bytes) -> str:
    """Return `data` in base64 with padding, the form of keys and group ids in privacy methods."""
    return base64.b64encode(data).decode("ascii")


def optional_text(document: Mapping[str, object], name: str) -> str:
    """Return the member `name` of a JSON object, or the empty text if the member is missing or null. RpcError "Invalid
    params" if its value is no text."""
    value = document.get(name)
    return "" if value is None else parse_text(value, name)


def _base64(value: object, what: str) -> bytes:
    try:
        # Without `validate`, Python skips characters that are no base64, and a mistyped key would become another key.
        return base64.b64decode(parse_text(value, what), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_params(f"{what}: base64 was expected") from None
