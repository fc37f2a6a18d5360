"""The memory that one record from outside may build, and its texts. This module must not know any format."""

import codecs
from collections.abc import Callable, Iterable
from sys import getsizeof

TEXT_PIECE_BYTES = 256
"""The size of the pieces in which a longer text is decoded. Python's decoder takes five times the bytes of its input as
soon as one character is above U+FFFF, also if the text is short in the end."""

# A text has its head, and all its characters with the width that the widest one needs: 1, 2 or 4 bytes.
_ASCII_HEAD, _WIDE_HEAD, _WIDEST = getsizeof(""), getsizeof("\U0001f600"), 4
_WIDE_HEAD_WITHOUT_END = _WIDE_HEAD - 2 * _WIDEST
_PIECE_PLACE_BYTES = 9
_ORDINARY_GROWTH = 2
"""A text without characters above U+FFFF takes at most twice the bytes of its UTF-8."""


class BoundedMemory:
    """Counts the memory of the objects of one record. They may take `size` bytes, and `wide_text_bytes` more for long
    texts with characters above U+FFFF. If they take more, or a text is not UTF-8, a method raises the error that
    `error` makes of a text with the reason."""

    __slots__ = ("_error", "_wide_text_left", "left")

    def __init__(self, size: int, error: Callable[[str], Exception], wide_text_bytes: int = 0) -> None:
        self.left = size
        self._wide_text_left = wide_text_bytes
        self._error = error

    def charge(self, size: int) -> None:
        """Count an object of `size` bytes, before it is built. Raises what `error` makes if all objects together
        are too large."""
        self.left -= size
        if self.left < 0:
            raise self._error("more memory than its size allows")

    def decode_text(self, data: bytes) -> str:
        """Return the text in the UTF-8 `data`, which has at most `TEXT_PIECE_BYTES`, and count it. Raises what
        `error` makes (see the class) if `data` is not UTF-8 or all objects together are too large."""
        if data.isascii():
            self.charge(_ASCII_HEAD + len(data))
            return data.decode("ascii")
        largest = _WIDE_HEAD + _WIDEST * len(data)
        self.charge(largest)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise self._error("a text that is not UTF-8") from None
        self.left += largest - getsizeof(text)
        return text

    def decode_long_text(self, parts: Iterable[bytes]) -> str:
        """Return the text in the UTF-8 `parts`, and count it. Each part has less than twice `TEXT_PIECE_BYTES`, and may
        end inside a character. Raises what `error` makes if the whole is not UTF-8 or all objects together are too
        large."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        pieces, pieces_size, width, size = list[str](), 0, 1, 0
        try:
            for part in parts:
                largest = _WIDE_HEAD + _WIDEST * len(part)
                self.charge(largest)
                pieces.append(piece := decoder.decode(part))
                piece_size = getsizeof(piece) + _PIECE_PLACE_BYTES
                self.left += largest - piece_size
                pieces_size += piece_size
                width, size = max(width, _character_width(piece)), size + len(part)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise self._error("a text that is not UTF-8") from None
        whole = _WIDE_HEAD + width * sum(map(len, pieces))
        lent = min(max(whole - _WIDE_HEAD - _ORDINARY_GROWTH * size, 0), self._wide_text_left)
        self._wide_text_left -= lent
        # The pieces and the whole text are there together for a moment.
        self.charge(whole - lent)
        text = "".join(pieces)
        self.left += pieces_size
        return text


def _character_width(text: str) -> int:
    """Return the bytes that each character of `text` takes in memory: 1, 2 or 4."""
    # A text that is not ASCII ends with one character more.
    return 1 if text.isascii() else (getsizeof(text) - _WIDE_HEAD_WITHOUT_END) // (len(text) + 1)
