"""PERM: the local allowlists of nodes and accounts, with Besu's texts and under both names that Besu has used."""

from collections.abc import Callable
from typing import cast

from lacnode.permissioning.local_allowlists import (
    AccountAllowlist,
    AllowlistChangeError,
    AllowlistProblem,
    NodeAllowlist,
)
from lacnode.permissioning.permissions_file import PermissionsFileError
from lacnode.rpc.errors import SERVER_ERROR, RpcError, invalid_params, p2p_disabled
from lacnode.rpc.method_registry import Handler, Method, Params
from lacnode.rpc.parameters import required
from lacnode.rpc.services import RpcServices

SUCCESS = "Success"

_STORING = {
    AllowlistProblem.PERSIST_FAILURE: "Unable to persist changes to allowlist configuration file. Changes reverted",
    AllowlistProblem.FILE_SYNC: (
        "The permissioning allowlist configuration file is out of sync.  "
        "The changes have been applied, but not persisted to disk"
    ),
}

_ACCOUNT_ERRORS = _STORING | {
    AllowlistProblem.EMPTY: "Request contains an empty list of accounts",
    AllowlistProblem.INVALID: "Request contains an invalid account",
    AllowlistProblem.DUPLICATED: "Request contains duplicate accounts",
    AllowlistProblem.EXISTING: "Cannot add an existing account to allowlist",
    AllowlistProblem.ABSENT: "Cannot remove an absent account from allowlist",
}

_NODE_ERRORS = _STORING | {
    AllowlistProblem.EMPTY: "Request contains an empty list of nodes",
    AllowlistProblem.INVALID: "Request contains an invalid node",
    AllowlistProblem.DUPLICATED: "Request contains duplicate nodes",
    AllowlistProblem.EXISTING: "Cannot add an existing node to allowlist",
    AllowlistProblem.ABSENT: "Cannot remove an absent node from allowlist",
    AllowlistProblem.FIXED_NODE: "Cannot remove a fixed node (bootnode or static node) from allowlist",
}


def _accounts(services: RpcServices) -> AccountAllowlist:
    if services.local_permissions.accounts is None:
        raise RpcError(SERVER_ERROR, "Account allowlist has not been enabled")
    return services.local_permissions.accounts


def _nodes(services: RpcServices) -> NodeAllowlist:
    if services.local_permissions.nodes is None:
        raise RpcError(SERVER_ERROR, "Node allowlist has not been enabled")
    if services.network is None:
        raise p2p_disabled()
    return services.local_permissions.nodes


def _texts(params: Params) -> list[str]:
    value = required(params, 0, "list")
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise invalid_params("parameter 0: an array of texts was expected")
    return cast("list[str]", value)


def _changed(change: Callable[[list[str]], None], texts: list[str], messages: dict[AllowlistProblem, str]) -> str:
    try:
        change(texts)
    except AllowlistChangeError as error:
        raise RpcError(SERVER_ERROR, messages[error.problem]) from None
    return SUCCESS


def add_accounts(services: RpcServices, params: Params) -> object:
    """`perm_addAccountsToAllowlist`: append accounts to the file and to the rules, all or none. Return "Success".
    RpcError with Besu's text if the list is off or the change is not possible (`AccountAllowlist.add`). Nothing has
    changed then, except after Besu's error about a file that is out of sync: the rules have changed, and the file has
    not."""
    # The parameters are checked before the list. This order holds for all four methods.
    texts = _texts(params)
    return _changed(_accounts(services).add, texts, _ACCOUNT_ERRORS)


def remove_accounts(services: RpcServices, params: Params) -> object:
    """`perm_removeAccountsFromAllowlist`: remove accounts from the file and from the rules, all or none. Return
    "Success". RpcError with Besu's text if the list is off or the change is not possible (`AccountAllowlist.remove`).
    Nothing has changed then, except after Besu's error about a file that is out of sync: the rules have changed, and
    the file has not."""
    texts = _texts(params)
    return _changed(_accounts(services).remove, texts, _ACCOUNT_ERRORS)


def get_accounts(services: RpcServices, params: Params) -> object:
    """`perm_getAccountsAllowlist`: the accounts of the list (0x-hexadecimal), in its order. RpcError if the list is
    off."""
    return list(_accounts(services).entries)


def add_nodes(services: RpcServices, params: Params) -> object:
    """`perm_addNodesToAllowlist`: append enode URLs to the file and to the rules, all or none. Return "Success". DNS
    may take seconds. RpcError with Besu's text if the list or P2P is off, or the change is not possible
    (`NodeAllowlist.add`). Nothing has changed then, except after Besu's error about a file that is out of sync: the
    rules have changed, and the file has not."""
    texts = _texts(params)
    return _changed(_nodes(services).add, texts, _NODE_ERRORS)


def remove_nodes(services: RpcServices, params: Params) -> object:
    """`perm_removeNodesFromAllowlist`: remove enode URLs from the file and from the rules, all or none. Return
    "Success". DNS may take seconds. RpcError with Besu's text if the list or P2P is off, or the change is not possible
    (`NodeAllowlist.remove`). Nothing has changed then, except after Besu's error about a file that is out of sync: the
    rules have changed, and the file has not."""
    texts = _texts(params)
    return _changed(_nodes(services).remove, texts, _NODE_ERRORS)


def get_nodes(services: RpcServices, params: Params) -> object:
    """`perm_getNodesAllowlist`: the enode URLs of the list, in its order. RpcError if the list or P2P is off."""
    return [str(node) for node in _nodes(services).entries]


def perm_reloadPermissionsFromFile(services: RpcServices, params: Params) -> object:
    """Read the permissions files again and use their lists. Return "Success". RpcError if no allowlist is enabled, or
    if a file cannot be used. Then no list changes."""
    local = services.local_permissions
    if local.accounts is None and local.nodes is None:
        raise RpcError(SERVER_ERROR, "Node/Account allowlist has not been enabled")
    try:
        local.reload()
    except PermissionsFileError as error:
        raise RpcError(
            SERVER_ERROR,
            "Error reloading permissions file. Please use perm_getAccountsAllowlist and perm_getNodesAllowlist "
            "to review the current state of the allowlists",
            str(error),
        ) from None
    return SUCCESS


_BOTH_NAMES: tuple[tuple[str, Handler], ...] = (
    ("perm_addAccountsTo", add_accounts),
    ("perm_removeAccountsFrom", remove_accounts),
    ("perm_getAccounts", get_accounts),
    ("perm_addNodesTo", add_nodes),
    ("perm_removeNodesFrom", remove_nodes),
    ("perm_getNodes", get_nodes),
)

PERM_METHODS = (
    *(Method(name + ending, "PERM", handler) for name, handler in _BOTH_NAMES for ending in ("Allowlist", "Whitelist")),
    Method("perm_reloadPermissionsFromFile", "PERM", perm_reloadPermissionsFromFile),
)
