"""`public-key export` and `export-address`."""

from collections.abc import Sequence
from pathlib import Path

from lacnode.cli.command_arguments import parse_command_arguments
from lacnode.cli.errors import UsageError
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import Settings
from lacnode.crypto.node_key import KeyFileError, NodeKey, load_node_key, load_or_create_node_key
from lacnode.primitives.hexadecimal import to_hex


def run(words: Sequence[str], settings: Settings) -> int:
    """Print or write the public key (64 bytes) or the address (20 bytes) in hexadecimal digits after 0x. `words` are
    those after `public-key`. The node's own key is made if it is missing. A key file that an option names must exist.
    Return the exit status 0. UsageError for a wrong command line, a key file that cannot be used, or an output that
    cannot be written."""
    known = {"to": None, "node-private-key-file": None, "ec-curve": "secp256k1"}
    values, rest = parse_command_arguments(words, known, command="public-key")
    if rest not in (["export"], ["export-address"]):
        raise UsageError("public-key export or public-key export-address was expected", 2)
    if values["ec-curve"] != "secp256k1":
        raise UsageError(f"{values['ec-curve']} is not supported: this node signs with secp256k1 only")
    key = _key(values["node-private-key-file"], settings)
    text = to_hex(key.public_key if rest == ["export"] else key.address)
    if values["to"] is None:
        print(text)
        return 0
    try:
        Path(values["to"]).write_text(text)
    except OSError as error:
        raise UsageError(f"{values['to']} cannot be written: {error.strerror}") from None
    return 0


def _key(given: str | None, settings: Settings) -> NodeKey:
    # A key file that was named must exist. The node's own key is made here if the node has not run yet, as in Besu:
    # operators ask for the key first, to put it on the permission list.
    explicit = given or settings.get("node-private-key-file")
    try:
        if explicit is not None:
            return load_node_key(Path(str(explicit)))
        return load_or_create_node_key(SettingsReader(settings).data_path / "key")
    except KeyFileError as error:
        raise UsageError(str(error)) from None
