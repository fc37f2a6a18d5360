"""The file of `--privacy-genesis-file`: the first accounts of private states, in the form of a genesis' `alloc`.

Besu takes them from a plugin (`PrivacyGroupGenesisProvider`) and has no such file. Every member of a group must have
the same accounts. Otherwise their states differ from the first transaction on.
"""

import binascii
from base64 import b64decode
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lacnode.chainspec.alloc import GenesisAllocation, GenesisAllocationError, genesis_accounts
from lacnode.chainspec.spec import GenesisAccount
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_marker import MANAGEMENT_ADDRESS, PROXY_ADDRESS
from lacnode.storage.bounded_file import read_bounded

MAX_PRIVATE_GENESIS_BYTES = 16 * 2**20
"""The largest size of the file."""

EVERY_OTHER = "*"
_RESERVED = frozenset((MANAGEMENT_ADDRESS, PROXY_ADDRESS))


class PrivateGenesisError(Exception):
    """The file of `--privacy-genesis-file` cannot be used. The text names the file, the mistake and what was expected."""


class _Account(GenesisAllocation):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    alloc: dict[str, _Account]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: dict[str, _Group]


def load_private_genesis(path: Path) -> PrivateGenesis:
    """Read the first accounts of private states from the JSON file at `path`. PrivateGenesisError if it is missing,
    larger than `MAX_PRIVATE_GENESIS_BYTES`, malformed, or has an account at an address of the flexible groups'
    contracts."""
    try:
        return _genesis(_File.model_validate(orjson.loads(read_bounded(path, MAX_PRIVATE_GENESIS_BYTES))))
    except OSError as error:
        raise PrivateGenesisError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        # Only the first mistake is reported. A wrong type of one entry often leads to many others.
        first = error.errors()[0]
        place = ".".join(str(step)[:80] for step in first["loc"])
        raise PrivateGenesisError(f"{path}: {place or 'the document'}: {first['msg']}") from None
    except orjson.JSONDecodeError as error:
        raise PrivateGenesisError(f"{path}: it is not JSON: {error}") from None
    except ValueError as error:
        raise PrivateGenesisError(f"{path}: {error}") from None


def _genesis(file: _File) -> PrivateGenesis:
    # The names are checked last: a mistake in an account is reported with the name as it is written.
    accounts = {name: _accounts(name, group) for name, group in file.groups.items()}
    others = accounts.pop(EVERY_OTHER, ())
    return PrivateGenesis({_group_id(name): found for name, found in accounts.items()}, others)


def _accounts(name: str, group: _Group) -> tuple[GenesisAccount, ...]:
    try:
        found = genesis_accounts(group.alloc)
    except GenesisAllocationError as error:
        raise ValueError(f"groups.{name[:80]}.{error}") from None
    for account in found:
        # A flexible group has its own contracts at these addresses. Another code there would break the group.
        if account.address in _RESERVED:
            raise ValueError(
                f"groups.{name[:80]}.alloc.0x{account.address.hex()}: the address is that of a flexible group's own contract"
            )
    return found


def _group_id(name: str) -> bytes:
    try:
        group_id = b64decode(name, validate=True)
    except (binascii.Error, ValueError):
        group_id = b""
    if len(group_id) != 32:
        raise ValueError(
            f"groups.{name[:80]}: a group's id, 32 bytes in base64, or * for every other group was expected"
        )
    return group_id
