"""`operator generate-network-genesis`: a ready genesis, with permissions in it if wanted, and the hashes that it must
give.

The same input gives the same bytes. Must not make keys: the addresses of a network are in its file.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.cli.errors import UsageError
from lacnode.consensus.protocols import encode_genesis_extra_data, protocols_of
from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.permissioning.topology import NodeType
from lacnode.primitives.hexadecimal import address_from_hex, to_hex

GENESIS_FILE, EXPECTED_FILE = "genesis.json", "expected.json"
MAX_ENTRIES = 1000


class NodeEntryModel(BaseModel):
    """A node that the permissioning contracts of the genesis permit from the beginning, as the input file names it.
    `role` is the name of a `NodeType` in small letters. The values are not checked here."""

    model_config = ConfigDict(extra="forbid")
    enode: str
    role: str
    name: str = ""
    organization: str = ""


class PermissionsModel(BaseModel):
    """The contents that the permissioning contracts begin with: the administrators, the nodes that may connect, and the
    accounts that may send. Administrators and accounts are addresses in hexadecimal digits, which are not checked here.
    """

    model_config = ConfigDict(extra="forbid")
    admins: list[str] = Field(min_length=1, max_length=MAX_ENTRIES)
    nodes: list[NodeEntryModel] = Field(default=[], max_length=MAX_ENTRIES)
    accounts: list[str] = Field(default=[], max_length=MAX_ENTRIES)


class NetworkModel(BaseModel):
    """The input file of `operator generate-network-genesis`. `genesis` is a genesis as Besu has it, whose `extraData`
    the command replaces. `validators` are the first validators: addresses in hexadecimal digits, which are not checked
    here. Without `permissions`, the genesis gets no permissioning contracts."""

    model_config = ConfigDict(extra="forbid")
    genesis: dict[str, Any]
    validators: list[str] = Field(min_length=1, max_length=MAX_ENTRIES)
    permissions: PermissionsModel | None = None


def write_genesis_and_expected_hashes(file: Path, directory: Path) -> int:
    """Write two files into `directory`, which is made if it is missing: the genesis of the network of `file` (JSON, as
    `NetworkModel` has it), and the block hash and state root that it must give. Return the exit status 0. Files that
    are there already with this content are no error. UsageError if `file` is wrong or cannot be read, or if a file
    cannot be written. UsageError also, before anything is written, if one of the two is there with other content: nodes
    may run by that genesis."""
    genesis, expected = _make_genesis_and_hashes(_read(file))
    documents = {
        directory / name: json.dumps(document, indent=2) + "\n"
        for name, document in ((GENESIS_FILE, genesis), (EXPECTED_FILE, expected))
    }
    try:
        for path, text in documents.items():
            # Both files are compared before one is written: a refused genesis must not leave the other network's hashes
            # beside it.
            if path.exists() and path.read_bytes() != text.encode():
                raise UsageError(f"{path} is there already and differs: move it away, or name another directory")
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in documents.items():
            path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename or directory} cannot be written: {error.strerror}") from None
    print(f"{directory / GENESIS_FILE}: genesis {expected['hash']}")
    return 0


def _make_genesis_and_hashes(network: NetworkModel) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the genesis document, and the block hash (`hash`) and state root (`stateRoot`) that it must give, each 64
    hexadecimal digits after 0x. UsageError for an address, a role or an enode that is none, for a validator, a
    permitted node or a permitted account that is listed twice, and for a genesis that this node cannot run.
    """
    # Headers list validators sorted by address. Sorting here makes the order in the file irrelevant to the hash.
    validators = tuple(sorted(_address(text) for text in network.validators))
    # A validator that counts twice and signs once would leave the network without a quorum.
    _check_listed_once("validators", [to_hex(validator) for validator in validators])
    genesis = dict(network.genesis)
    genesis["extraData"] = to_hex(encode_genesis_extra_data(_spec(genesis), validators))
    if network.permissions is not None:
        alloc = genesis.get("alloc")
        # The contracts come last: an account of the file cannot replace one of them.
        genesis["alloc"] = {**(alloc if isinstance(alloc, Mapping) else {}), **_contracts(network.permissions)}
    return genesis, _expected(genesis)


def _read(file: Path) -> NetworkModel:
    try:
        return NetworkModel.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        # One mistake a run, as everywhere on the command line. pydantic's own text spans many lines.
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UsageError(f"{file}: {place}: {first['msg']}") from None


def _expected(genesis: dict[str, Any]) -> dict[str, str]:
    """Return the block hash and the state root of `genesis`. The EVM is loaded by name: it is slow to load, and most
    of the command line does without it. UsageError if this node cannot run `genesis`."""
    spec = _spec(genesis)
    engine = importlib.import_module("lacnode.evm.py_evm_engine").PyEvmEngine(spec, {})
    root, _ = engine.genesis_state()
    return {"hash": to_hex(protocols_of(spec).block_hash(spec.genesis.header(root))), "stateRoot": to_hex(root)}


def _spec(genesis: dict[str, Any]) -> ChainSpec:
    try:
        return parse_genesis(genesis)
    except GenesisError as error:
        raise UsageError(f"the genesis is not one this node can run: {error}") from None


def _contracts(permissions: PermissionsModel) -> dict[str, Any]:
    module = importlib.import_module("lacnode.devnet.permissioned_genesis")
    entries = [
        module.NodeEntry(_enode(node.enode), _type(node.role), node.name, node.organization)
        for node in permissions.nodes
    ]
    admins = _addresses("permissions.admins", permissions.admins)
    accounts = _addresses("permissions.accounts", permissions.accounts)
    # The contracts refuse these. Their refusal would not say which entry it is about.
    _check_listed_once("permissions.nodes", [to_hex(entry.enode.id) for entry in entries])
    _check_listed_once("permissions.accounts", [to_hex(account) for account in accounts])
    found: dict[str, Any] = module.permissioning_alloc(admins, entries, accounts)
    return found


def _check_listed_once(place: str, names: Sequence[str]) -> None:
    """UsageError, with `place` for the list in the file, if one of `names` is in it twice."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise UsageError(f"{place}: {name} is listed twice: list it once")
        seen.add(name)


def _addresses(place: str, texts: Sequence[str]) -> list[bytes]:
    """Return the addresses of the list `place` of the file. UsageError if one is none, or the zero address."""
    addresses = [_address(text) for text in texts]
    if bytes(20) in addresses:
        raise UsageError(f"{place}: the zero address cannot be listed")
    return addresses


def _enode(text: str) -> Enode:
    try:
        return Enode.parse(text)
    except EnodeError as error:
        raise UsageError(str(error)) from None


def _type(role: str) -> NodeType:
    words = [type_.lower_name for type_ in NodeType]
    if role not in words:
        raise UsageError(f"{role!r} is no role: one of {', '.join(words)} was expected")
    return NodeType[role.upper()]


def _address(text: str) -> bytes:
    try:
        return address_from_hex(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
