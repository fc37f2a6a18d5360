"""Hexadecimal text as Ethereum writes it: `0x` data and `0x` quantities.

Two encodings that must not be mixed: *data* keeps every byte (`0x00ff`), a *quantity* is a number without leading
zeros (`0xff`, zero is `0x0`).
"""


def to_hex(data: bytes) -> str:
    """`data` as lower-case `0x` text, two digits a byte; `0x` for no bytes."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal `text`, `0x` optional.

    Raises ValueError for an odd number of digits or anything that is not a hexadecimal digit.
    """
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) % 2:
        raise ValueError(f"odd number of hexadecimal digits in {_shown(text)}")
    if not digits.isalnum() and digits:
        raise ValueError(f"not hexadecimal: {_shown(text)}")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError(f"not hexadecimal: {_shown(text)}") from None


def fixed_from_hex(text: str, size: int, what: str) -> bytes:
    """Exactly `size` bytes from hexadecimal `text`; `what` names the value in the ValueError raised otherwise."""
    data = from_hex(text)
    if len(data) != size:
        raise ValueError(f"{what} must be {size} bytes, not {len(data)}: {_shown(text)}")
    return data


def address_from_hex(text: str) -> bytes:
    """A 20-byte address; ValueError otherwise. The checksum of mixed-case text is not verified, as in Besu."""
    return fixed_from_hex(text, 20, "address")


def hash_from_hex(text: str) -> bytes:
    """A 32-byte hash; ValueError otherwise."""
    return fixed_from_hex(text, 32, "hash")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
