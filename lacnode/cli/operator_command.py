"""`operator generate-blockchain-config`: genesis and keys from Besu's configuration JSON, in Besu's layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.cli.command_arguments import parse_command_arguments, required_option
from lacnode.cli.errors import UsageError
from lacnode.cli.network_genesis import write_genesis_and_expected_hashes
from lacnode.cli.sources import Settings
from lacnode.consensus.protocols import encode_genesis_extra_data
from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.crypto.secp256k1 import address_of, agree
from lacnode.primitives.hexadecimal import fixed_from_hex, to_hex

MAX_NODES = 1000
# The private key 1: agreeing on a secret with it fails for a point that is not on the curve.
STORAGE_ONE = (1).to_bytes(32)


def run(words: Sequence[str], settings: Settings) -> int:
    """Generate the files of a network. `words` are those after `operator`. Return the exit status 0. UsageError for a
    wrong command line or configuration, if a file cannot be written, or if the output directory is in use: it has any
    files (`generate-blockchain-config`), or other content in the files of the command (`generate-network-genesis`)."""
    known = {
        "config-file": None,
        "to": None,
        "genesis-file-name": "genesis.json",
        "private-key-file-name": "key.priv",
        "public-key-file-name": "key.pub",
        "start-block": None,
        "end-block": None,
    }
    values, rest = parse_command_arguments(words, known, command="operator")
    # Besu has this command. Scripts that call it must not fail.
    if rest == ["generate-log-bloom-cache"]:
        print("lacnode indexes log blooms as blocks are imported; there is no cache to generate")
        return 0
    if rest == ["generate-network-genesis"]:
        return write_genesis_and_expected_hashes(
            Path(required_option(values, "config-file")), Path(required_option(values, "to"))
        )
    if rest != ["generate-blockchain-config"]:
        raise UsageError("operator generate-blockchain-config or operator generate-network-genesis was expected", 2)
    return _generate(values)


def _generate(values: dict[str, str | None]) -> int:
    directory = Path(required_option(values, "to"))
    # Everything is checked before the first file is written: the command does not run again into a directory with
    # files.
    names = [str(values[f"{what}-file-name"]) for what in ("genesis", "private-key", "public-key")]
    if len(set(names)) != len(names):
        raise UsageError("Output file paths must be unique.")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError("Output directory already exists.")
    document = _read(Path(required_option(values, "config-file")))
    genesis, nodes = _parts(document)
    public_keys, private = _node_keys(nodes)
    validators = tuple(address_of(key) for key in public_keys)
    try:
        genesis["extraData"] = to_hex(encode_genesis_extra_data(parse_genesis(genesis), validators))
        # The genesis is tried with its validators in it, as the nodes will read it.
        parse_genesis(genesis)
    except GenesisError as error:
        raise UsageError(f"the genesis in the configuration is not one this node can run: {error}") from None
    try:
        _write(directory, names, genesis, public_keys, private)
    except OSError as error:
        raise UsageError(f"An error occurred while trying to generate network configuration. {error}") from None
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        document = _exact_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"An error occurred while trying to generate network configuration. {path}: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path}: a JSON object was expected")
    return document


def _exact_json(text: str) -> Any:
    """Return the document in `text`, with numbers of any length. ValueError if it is no JSON. `orjson` reads it
    first, because it refuses documents nested without end, which would crash Python's own reader. Python's reader
    keeps long numbers."""
    orjson.loads(text)
    return json.loads(text)


def _parts(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    genesis, blockchain = document.get("genesis"), document.get("blockchain")
    if not isinstance(genesis, dict) or not isinstance(genesis.get("config"), dict):
        raise UsageError("Missing config section in config file")
    nodes = blockchain.get("nodes") if isinstance(blockchain, dict) else None
    if not isinstance(nodes, dict):
        raise UsageError("blockchain.nodes is missing in the config file")
    return dict(genesis), nodes


def _node_keys(nodes: dict[str, Any]) -> tuple[list[bytes], list[NodeKey]]:
    """Return the public keys of the validators, and their private keys where this command generates them. UsageError
    for a count or a key that is wrong."""
    if nodes.get("generate", False) is True:
        count = nodes.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MAX_NODES:
            raise UsageError(f"blockchain.nodes.count: a number from 1 to {MAX_NODES} was expected, found {count!r}")
        keys = [NodeKey.generate() for _ in range(count)]
        return [key.public_key for key in keys], keys
    given = nodes.get("keys")
    if not isinstance(given, list):
        raise UsageError("blockchain.nodes.keys: an array of public keys was expected")
    return [_public_key(key) for key in given], []


def _public_key(value: object) -> bytes:
    if not isinstance(value, str):
        raise UsageError(f"Invalid key json of type: {type(value).__name__}")
    try:
        key = fixed_from_hex(value, 64, "public key")
        # Any 64 bytes have the form of a key. Only this shows that they are a point of the curve.
        agree(STORAGE_ONE, key)
    except ValueError:
        raise UsageError(f"{value[:140]} is not a valid public key for elliptic curve secp256k1") from None
    return key


def _write(
    directory: Path, names: list[str], genesis: dict[str, Any], public_keys: list[bytes], private: list[NodeKey]
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / names[0]).write_text(json.dumps(genesis, indent=2) + "\n")
    for index, public_key in enumerate(public_keys):
        place = directory / "keys" / to_hex(address_of(public_key))
        place.mkdir(parents=True)
        # Keys from the configuration have no private part here. Besu writes the public ones alone then.
        if private:
            save_node_key(place / names[1], private[index])
        (place / names[2]).write_text(to_hex(public_key))
