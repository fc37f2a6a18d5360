"""Hexadecimal text as in Ethereum: `0x` data and `0x` quantities.

These are two encodings. *Data* keeps every byte (`0x00ff`). A *quantity* is a number without leading zeros (`0xff`, and
`0x0` for zero).
"""


def to_hex(data: bytes) -> str:
    """`data` as lower-case text with `0x`, two digits for each byte. `0x` for no bytes."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal `text` in either case, with or without `0x`. An empty text or `0x` gives no bytes.

    Raises ValueError for an odd number of digits, or for another character than a hexadecimal digit.
    """
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) % 2:
        raise ValueError(f"odd number of hexadecimal digits in {_short_text(text)}")
    # `bytes.fromhex` accepts spaces between bytes.
    if not digits.isalnum() and digits:
        raise ValueError(f"not hexadecimal: {_short_text(text)}")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError(f"not hexadecimal: {_short_text(text)}") from None


def fixed_from_hex(text: str, size: int, what: str) -> bytes:
    """Exactly `size` bytes of hexadecimal `text`, with or without `0x`. Raises ValueError for another length or form.
    The text of an error about the length calls the value `what`."""
    data = from_hex(text)
    if len(data) != size:
        raise ValueError(f"{what} must be {size} bytes, not {len(data)}: {_short_text(text)}")
    return data


def address_from_hex(text: str) -> bytes:
    """An address (20 bytes) of hexadecimal `text`, with or without `0x`. Raises ValueError for another length or form.
    The checksum of mixed case is not verified, as in Besu."""
    return fixed_from_hex(text, 20, "address")


def hash_from_hex(text: str) -> bytes:
    """A hash (32 bytes) of hexadecimal `text`, with or without `0x`. Raises ValueError for another length or form."""
    return fixed_from_hex(text, 32, "hash")


def _short_text(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
