"""`rlp encode` and `rlp decode`: the extra data of a header from and to JSON."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from lacnode.cli.command_arguments import parse_command_arguments
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import Settings
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.protocols import EXTRA_DATA_TYPES
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.primitives.rlp import RlpError


def run(words: Sequence[str], settings: Settings) -> int:
    """Convert extra data: `encode` a JSON array of addresses, or `decode` hexadecimal digits to the addresses in them.
    `words` are those after `rlp`. Input and output are files, or standard input and output if none are named. Return
    the exit status 0. UsageError for a wrong command line, for input that has another form or cannot be read, and for
    output that cannot be written."""
    values, rest = parse_command_arguments(words, {"type": "IBFT_EXTRA_DATA", "from": None, "to": None}, command="rlp")
    if rest not in (["encode"], ["decode"]):
        raise UsageError("rlp encode or rlp decode was expected", 2)
    protocol = EXTRA_DATA_TYPES.get(values["type"] or "")
    if protocol is None:
        expected = " or ".join(EXTRA_DATA_TYPES)
        raise UsageError(f"Invalid value for option '--type': {expected} was expected, not '{values['type']}'", 2)
    text = _read(values["from"])
    _write(values["to"], _encoded(protocol, text) if rest == ["encode"] else _decoded(protocol, text))
    return 0


def _encoded(protocol: BftProtocol, text: str) -> str:
    try:
        validators = orjson.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("Unable to read JSON file.") from None
    try:
        # The validators stay in the order of the file, as in Besu. A genesis with another order has another hash.
        addresses = tuple(address_from_hex(address) for address in validators)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            "Unable to map the JSON data with selected type. Please check JSON input format. "
            f"An array of addresses was expected: {error}"
        ) from None
    return to_hex(protocol.encode_extra_data(ExtraData(bytes(32), addresses)))


def _decoded(protocol: BftProtocol, text: str) -> str:
    try:
        # The line end of a file or of `echo` is no part of the hexadecimal digits.
        extra = protocol.decode_extra_data(from_hex(text.strip()))
    except (RlpError, ValueError) as error:
        raise UsageError(f"not extra data of this type: {error}") from None
    return json.dumps([to_hex(address) for address in extra.validators])


def _read(path: str | None) -> str:
    # Python has None for an input that was closed before the start.
    if path is None and sys.stdin is None:
        raise UsageError("Unable to read standard input: it is closed")
    try:
        return sys.stdin.read() if path is None else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Unable to read {path or 'standard input'}: {error}") from None


def _write(path: str | None, text: str) -> None:
    if path is None:
        print(text)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
