"""`rlp encode` and `rlp decode`: IBFT 2.0 extra data from and to JSON."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from lacnode.cli.command_arguments import parse_command_arguments
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import Settings
from lacnode.consensus.ibft2.extra_data import ExtraData
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.primitives.rlp import RlpError


def run(words: Sequence[str], settings: Settings) -> int:
    """Convert extra data. Return the exit status. UsageError for a wrong command line, or for input that is no extra
    data."""
    values, rest = parse_command_arguments(words, {"type": "IBFT_EXTRA_DATA", "from": None, "to": None}, command="rlp")
    if rest not in (["encode"], ["decode"]):
        raise UsageError("rlp encode or rlp decode was expected", 2)
    if values["type"] != "IBFT_EXTRA_DATA":
        raise UsageError(f"Invalid value for option '--type': IBFT_EXTRA_DATA was expected, not '{values['type']}'", 2)
    text = _read(values["from"])
    _write(values["to"], _encoded(text) if rest == ["encode"] else _decoded(text))
    return 0


def _encoded(text: str) -> str:
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
    return to_hex(ExtraData(bytes(32), addresses).encode())


def _decoded(text: str) -> str:
    try:
        # The line end of a file or of `echo` is no part of the hexadecimal digits.
        extra = ExtraData.decode(from_hex(text.strip()))
    except (RlpError, ValueError) as error:
        raise UsageError(f"not IBFT 2.0 extra data: {error}") from None
    return json.dumps([to_hex(address) for address in extra.validators])


def _read(path: str | None) -> str:
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
