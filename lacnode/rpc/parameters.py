"""Parameters, parsed as strictly as Besu parses them. A value that does not fit is the error -32602.

The error's `data` names the parameter and what was expected. Besu leaves this out. Every function that parses a value raises
RpcError for one that does not fit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lacnode.chain.log_filter import LogFilter
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.rpc.errors import (
    INVALID_BLOCK,
    INVALID_BLOCK_NUMBER,
    INVALID_FILTER,
    INVALID_PARAMS,
    INVALID_TRANSACTION_HASH,
    LIMIT_EXCEEDED,
    RpcError,
    block_not_found,
    invalid_params,
    unknown_block,
    with_error_message,
)
from lacnode.rpc.read_calls import HasChain, Params

MAX_UINT256 = 2**256 - 1

MAX_ADDRESSES, MAX_TOPICS = 1_000, 1_000
"""Number of addresses, and of topics over all positions, that a filter may name. A position that accepts every topic
counts as one. Besu has no such bounds."""

LATEST_TAGS = frozenset(("latest", "pending"))
UNSET_TAGS = frozenset(("finalized", "safe"))
MIN_HASH_CHARACTERS, MAX_NUMBER_CHARACTERS = 65, 16
"""Besu reads a text of at least so many characters as a block's hash, and one of at most so many as its number."""

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_JAVA_LONG = re.compile(r"(?:0x|#)(?P<hexadecimal>[0-9a-f]+)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*)")


_MESSAGES = {
    "block": INVALID_BLOCK,
    "newest block": INVALID_BLOCK,
    "blockHash": INVALID_BLOCK,
    "blockNumber": INVALID_BLOCK,
    "requireCanonical": INVALID_BLOCK,
    "block hash": "Invalid block hash params",
    "block count": "Invalid block count params",
    "reward percentiles": "Invalid reward percentiles params",
    "transaction hash": INVALID_TRANSACTION_HASH,
    "index": "Invalid transaction id params",
    "address": "Invalid address params",
    "slot": "Invalid position params",
    "slots": "Invalid storage keys params",
    "filter": INVALID_FILTER,
    "full transactions": "Invalid return complete transaction params",
    "enode": "Invalid enode params",
    "add": "Invalid vote type params",
    "log level": "Invalid log level params",
    "log filter": "Invalid log filter params",
    "privacyGroupId": "Invalid privacy group params",
}
"""Besu 25.5.0's messages for a wrong parameter. Its message for all other parameters is "Invalid params"."""


def _message(what: str) -> str:
    return _MESSAGES.get(what, "Invalid params")


def wrong_parameter(what: str, why: str) -> RpcError:
    """Return the error -32602 for the parameter `what`, with Besu's message for it. `why` goes into `data`."""
    return RpcError(INVALID_PARAMS, _message(what), f"{what}: {why}")


def required(params: Params, index: int, what: str) -> object:
    """Return the parameter at `index`, a JSON value. RpcError, with `what` for the name of the parameter, if it is
    missing or null."""
    value = params[index] if index < len(params) else None
    if value is None:
        raise RpcError(INVALID_PARAMS, _message(what), f"parameter {index} ({what}) is missing")
    return value


def optional(params: Params, index: int) -> object | None:
    """Return the parameter at `index`, or None if it is missing or null."""
    return params[index] if index < len(params) else None


def parse_text(value: object, what: str) -> str:
    """Return `value` if it is text. RpcError, with `what` for the name of the parameter, for any other type."""
    if not isinstance(value, str):
        raise wrong_parameter(what, "text was expected")
    return value


def parse_boolean(value: object, what: str) -> bool:
    """Return `value` if it is true or false. RpcError, with `what` for the name of the parameter, for any other type."""
    if not isinstance(value, bool):
        raise wrong_parameter(what, "true or false was expected")
    return value


def parse_bytes(value: object, what: str) -> bytes:
    """Parse bytes in hexadecimal text. `0x` is optional. The number of digits must be even. RpcError, with `what` for
    the name of the parameter, for any other value. The length is not bounded."""
    try:
        return from_hex(parse_text(value, what))
    except ValueError as error:
        raise wrong_parameter(what, str(error)) from None


def parse_address(value: object, what: str = "address") -> bytes:
    """Parse an address of 20 bytes in hexadecimal text. `0x` is optional. Fewer bytes are filled up with zeros on the
    left, as in Besu. RpcError, with `what` for the name of the parameter, for any other value."""
    return parse_padded_bytes(value, what, 20)


def parse_hash32(value: object, what: str = "hash") -> bytes:
    """Parse exactly 32 bytes in hexadecimal text. `0x` is optional. RpcError, with `what` for the name of the
    parameter, for any other value."""
    found = parse_bytes(value, what)
    if len(found) != 32:
        raise wrong_parameter(what, f"32 bytes were expected, found {len(found)}")
    return found


def parse_padded_bytes(value: object, what: str, size: int) -> bytes:
    """Parse up to `size` bytes in hexadecimal text, of any number of digits. `0x` is optional. Fewer bytes are filled
    up with zeros on the left, to exactly `size`. RpcError, with `what` for the name of the parameter, for any other
    value."""
    digits = _digits(parse_text(value, what))
    # The length is checked first, so that no expression runs over megabytes. An empty text means zero.
    if len(digits) > 2 * size or not _HEXADECIMAL.fullmatch(digits or "0"):
        raise wrong_parameter(what, f"up to {size} bytes of hexadecimal were expected")
    return bytes.fromhex(digits.rjust(2 * size, "0"))


def _digits(word: str) -> str:
    return word[2:] if word[:2].lower() == "0x" else word


def parse_quantity(value: object, what: str, maximum: int = MAX_UINT256) -> int:
    """Parse a number from 0 to `maximum`: text in hexadecimal with 0x, text in decimal without it, or a JSON integer.
    RpcError, with `what` for the name of the parameter, for any other value."""
    number: int | None = None
    # JSON's true and false are integers in Python, and must not become 1 and 0. 78 digits hold every 256-bit number.
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and len(value) <= 78 and _NUMBER.fullmatch(value):
        number = int(value, 16 if value[:2].lower() == "0x" else 10)
    if number is None or not 0 <= number <= maximum:
        raise wrong_parameter(what, "a quantity was expected")
    return number


def parse_wei(value: object, what: str) -> int:
    """Parse an amount of up to 256 bits, in wei: text in hexadecimal even without 0x, as in Besu's `Wei`, or a JSON
    integer. RpcError, with `what` for the name of the parameter, for any other value."""
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_quantity(value, what)
    return int.from_bytes(parse_padded_bytes(value, what, 32))


def parse_storage_slot(value: object) -> int:
    """Parse a storage slot: text of up to 32 bytes of hexadecimal, in any number of digits. `0x` is optional. Return it
    as a number. RpcError for any other value."""
    return int.from_bytes(parse_padded_bytes(value, "slot", 32))


# -- blocks --------------------------------------------------------------------------------------------------------


def parse_block_number(services: HasChain, value: object) -> int:
    """Return the number that a block parameter of type "number" means: a JSON integer, text as Java's `Long.decode`
    reads it (without a plus sign), or a tag. `latest` and `pending` are the head. The number is from 0 to 2**63 - 1 and
    may be above the head.

    RpcError "Unknown block" for `finalized` and `safe`, because no protocol of this node marks a block so. RpcError
    -32602 for any other value, and for a number out of this range.
    """
    return _not_negative(parse_signed_block_number(services, value))


def parse_signed_block_number(services: HasChain, value: object) -> int:
    """Return the number that a block parameter means, as `parse_block_number` does, but accept also a negative or a
    very large number. Use it for methods that answer such a number like that of an unknown block, as Besu does."""
    head = services.chain.head.header.number
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    word = parse_text(value, "block").lower()
    # `pending` is the head too, because there is no pending block that could be read.
    if word in LATEST_TAGS:
        return head
    if word == "earliest":
        return 0
    if word in UNSET_TAGS:
        raise unknown_block()
    return _java_long(word)


def _not_negative(number: int) -> int:
    if not 0 <= number < 2**63:
        raise RpcError(INVALID_PARAMS, INVALID_BLOCK_NUMBER, "block: a number that is not negative was expected")
    return number


def _java_long(word: str) -> int:
    """Parse a number as Java's `Long.decode`: decimal, hexadecimal after 0x or #, octal after 0, and a sign before them."""
    sign, digits = (-1, word[1:]) if word[:1] == "-" else (1, word)
    # 2**63 - 1 has 19 decimal digits. The length is checked before the expression runs over a long text.
    if len(digits) <= 19 and (match := _JAVA_LONG.fullmatch(digits)):
        for name, base in (("hexadecimal", 16), ("octal", 8), ("decimal", 10)):
            if match[name] is not None:
                return sign * int(match[name], base)
    raise wrong_parameter("block", "a number, a hash, or one of latest, earliest, pending was expected")


def header_by_number(services: HasChain, value: object) -> BlockHeader | None:
    """Return the header that a "number" parameter means (`parse_block_number`), or None if the number is above the
    head. RpcError if the value does not fit."""
    return services.chain.header_at(parse_block_number(services, value))


def header_by_number_or_hash(services: HasChain, value: object) -> BlockHeader:
    """Return the header that a "number or hash" parameter means: a number, a tag, a hash, or an object (EIP-1898).
    RpcError "Block not found" if there is no such block. RpcError "Unknown block" for `finalized` and `safe`, and -32602
    for any other value."""
    # Besu tells a hash from a number by the length of the text alone, with or without 0x.
    if isinstance(value, Mapping):
        header = _header_by_object(services, value)
    elif isinstance(value, str) and len(value) >= MIN_HASH_CHARACTERS:
        header = services.chain.header_of(parse_padded_bytes(value, "block", 32))
    elif isinstance(value, str) and len(value) > MAX_NUMBER_CHARACTERS:
        raise wrong_parameter("block", "a number of up to 64 bits or a hash was expected")
    else:
        header = header_by_number(services, value)
    if header is None:
        raise block_not_found()
    return header


def _header_by_object(services: HasChain, value: Mapping[str, object]) -> BlockHeader | None:
    """Return the header of a block by EIP-1898. `requireCanonical` changes nothing, because every known block is
    canonical."""
    if value.get("blockHash") is not None:
        parse_boolean(value.get("requireCanonical", False), "requireCanonical")
        return services.chain.header_of(parse_padded_bytes(value["blockHash"], "blockHash", 32))
    if value.get("blockNumber") is not None:
        number = value["blockNumber"]
        if isinstance(number, str):
            number = _java_long(number.lower())
        return services.chain.header_at(_not_negative(parse_quantity(number, "blockNumber")))
    raise wrong_parameter("block", "either blockHash or blockNumber was expected")


# -- logs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The logs that are wanted: those of a range of block numbers, both included, or those of one block by its hash (32
    bytes). `block_hash` is None for a range. `from_block` and `to_block` count only for a range.

    `fixed_from` is True if the client named the first block by its number or as `earliest`, so that it stays the same
    while the chain grows. `fixed_to` is the same for the last block.
    """

    wanted: LogFilter
    from_block: int
    to_block: int
    block_hash: bytes | None
    fixed_from: bool = False
    fixed_to: bool = False

    def to_document(self) -> dict[str, object]:
        """Return a filter object, as a client would send it, that `parse_log_query` reads as this query. An end that is not
        fixed is `latest`: the head when it is read."""
        document: dict[str, object] = {
            "address": [to_hex(address) for address in self.wanted.addresses],
            "topics": [[to_hex(topic) for topic in accepted] or None for accepted in self.wanted.topics],
        }
        if self.block_hash is not None:
            return document | {"blockHash": to_hex(self.block_hash)}
        return document | {
            "fromBlock": hex(self.from_block) if self.fixed_from else "latest",
            "toBlock": hex(self.to_block) if self.fixed_to else "latest",
        }


@with_error_message(INVALID_FILTER)
def parse_log_query(services: HasChain, value: object) -> LogQuery:
    """Parse a filter object. A missing end of the range is the head. RpcError "Invalid filter params" if a member does
    not fit, and `LIMIT_EXCEEDED` if it names too many addresses or topics. The length of the range is not checked, and
    the hash is not looked up."""
    if not isinstance(value, Mapping):
        raise invalid_params("filter: an object was expected")
    # Besu accepts two spellings of `blockHash`. The one of EIP-234 comes first.
    found = value.get("blockHash", value.get("blockhash"))
    block_hash = None if found is None else parse_hash32(found, "blockHash")
    start, end = value.get("fromBlock"), value.get("toBlock")
    if block_hash is not None and (start is not None or end is not None):
        raise invalid_params("filter: blockHash excludes fromBlock and toBlock")
    wanted = LogFilter(_addresses(value.get("address")), _topics(value.get("topics")))
    return LogQuery(
        wanted,
        _range_end(services, start),
        _range_end(services, end),
        block_hash,
        _is_fixed(start),
        _is_fixed(end),
    )


def _range_end(services: HasChain, value: object) -> int:
    try:
        return parse_block_number(services, "latest" if value is None else value)
    except RpcError as error:
        raise invalid_params(f"filter: {error.message}") from None


def _is_fixed(value: object) -> bool:
    """Return True if an end of a range, which fits, stays where it is while the chain grows: a number, or `earliest`."""
    return isinstance(value, int) or (isinstance(value, str) and value.lower() not in LATEST_TAGS)


def _addresses(value: object) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        if len(value) > MAX_ADDRESSES:
            raise RpcError(LIMIT_EXCEEDED, f"Number of addresses exceeds maximum of {MAX_ADDRESSES}")
        return tuple(parse_address(item, "address") for item in value)
    return (parse_address(value, "address"),)


def _topics(value: object) -> tuple[tuple[bytes, ...], ...]:
    """Return the topics that fit for each position. An empty tuple fits every topic."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (_position(value),)
    if not isinstance(value, list):
        raise invalid_params("topics: an array was expected")
    # An empty position counts too: it is kept as long as the filter.
    if sum(max(1, len(item)) if isinstance(item, list) else 1 for item in value) > MAX_TOPICS:
        raise RpcError(LIMIT_EXCEEDED, f"Number of topics exceeds maximum of {MAX_TOPICS}")
    return tuple(_position(item) for item in value)


def _position(value: object) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        # A null among the alternatives fits every topic, so the others change nothing.
        return () if any(item is None for item in value) else tuple(parse_hash32(item, "topic") for item in value)
    return (parse_hash32(value, "topic"),)
