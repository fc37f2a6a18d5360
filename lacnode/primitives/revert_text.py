"""Solidity's `Error(string)`: the output of REVERT with a text."""

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

ERROR_SELECTOR = bytes.fromhex("08c379a0")
"""Selector of Solidity's `Error(string)`."""


def revert_text(output: bytes) -> str | None:
    """Return the text of Solidity's `Error(string)` in the output of REVERT. None if the output has another form. "ABI
    decode error" if only its selector fits."""
    # Contracts may revert with any bytes. Only Solidity's `Error(string)` has a text, which Besu adds to the message.
    if output[:4] != ERROR_SELECTOR:
        return None
    try:
        (reason,) = decode(["string"], output[4:])
    except (DecodingError, ValueError, OverflowError):
        return "ABI decode error"
    return str(reason)


def revert_output(text: str) -> bytes:
    """Return the output of a REVERT with `text`, encoded as Solidity's `Error(string)`."""
    return ERROR_SELECTOR + encode(["string"], [text])
