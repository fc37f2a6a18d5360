"""Files of blocks, one RLP after the other, as `blocks export` writes and `blocks import` reads them.

A file may come from anywhere: it is read block by block, and a length in it is believed only as far as the file goes.
Must not decide what a valid block is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError

MAX_FILE_BLOCK_BYTES = 128 << 20
"""Bytes: more than a block of 350 million gas can hold."""


class BlockFileError(Exception):
    """A file that cannot be read or written, or a range that makes no sense."""


class ImportStoppedError(Exception):
    """The block at which an import stopped: its number (the one expected, if it has none), the rule it breaks, and the
    byte in the file where it starts. Nothing of it was stored; everything before it was."""

    def __init__(self, path: Path, offset: int, number: int, rule: str, text: str) -> None:
        super().__init__(f"{path}: block {number}, at byte {offset}, refused by rule {rule}: {text}")
        self.offset = offset
        self.number = number
        self.rule = rule


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many blocks were imported, and how many were known or out of range."""

    imported: int
    skipped: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a block is in a file, and which number it should have there."""

    path: Path
    offset: int
    number: int

    def stopped(self, rule: str, text: str) -> ImportStoppedError:
        return ImportStoppedError(self.path, self.offset, self.number, rule, text)


def import_blocks(
    chain: Blockchain,
    path: Path,
    *,
    start: int = 0,
    end: int | None = None,
    progress: Callable[[int], None] = lambda number: None,
) -> ImportReport:
    """Import the blocks `start` <= number < `end` of the file, fully verified, skipping those that are known.

    `progress` gets each imported block's number. Raises ImportStoppedError at the first bad block, BlockFileError if the
    file cannot be read, StorageError if the database fails.
    """
    imported = skipped = 0
    with chain.bulk_import(), _opened(path) as file:
        for place, block in _blocks(file, path, start):
            if not start <= block.number < (block.number + 1 if end is None else end):
                skipped += 1
            elif _import(chain, block, place):
                imported += 1
                progress(block.number)
            else:
                skipped += 1
    return ImportReport(imported, skipped)


def check_range(start: int | None, end: int | None) -> None:
    """BlockFileError, in Besu's words, for an export range that makes no sense."""
    for name, number in (("--start-block", start), ("--end-block", end)):
        if number is not None and number < 0:
            raise BlockFileError(f"Parameter {name} ({number}) must be greater than or equal to zero.")
    if start is not None and end is not None and end <= start:
        raise BlockFileError(f"Parameter --end-block ({end}) must be greater start block ({start}).")


def export_blocks(
    chain: Blockchain,
    to: Path,
    *,
    start: int | None = None,
    end: int | None = None,
    progress: Callable[[int], None] = lambda number: None,
) -> int:
    """Write the blocks from `start` (genesis) up to but without `end` (after the head) to the file; the number of
    blocks written. The file is appended to when `start` is given, otherwise replaced, as Besu does."""
    check_range(start, end)
    first, stop = start or 0, chain.head.header.number + 1 if end is None else end
    try:
        with to.open("wb" if start is None else "ab") as file:
            for number in range(first, stop):
                block = chain.block_at(number)
                if block is None:
                    return number - first
                file.write(block.encode())
                progress(number)
    except OSError as error:
        raise BlockFileError(f"An error occurred while exporting blocks. {to}: {error.strerror}") from None
    return max(0, stop - first)


def _import(chain: Blockchain, block: Block, place: _Place) -> bool:
    try:
        if block.number == 0:
            _check_genesis(chain, block)
            return False
        return chain.import_block(block)
    except BlockRefusedError as refusal:
        raise place.stopped(refusal.rule, str(refusal)) from None


def _check_genesis(chain: Blockchain, block: Block) -> None:
    found = on_chain_hash(block.header)
    if found != chain.genesis_hash:
        text = f"its hash is 0x{found.hex()}, this network's genesis has 0x{chain.genesis_hash.hex()}"
        raise BlockRefusedError("genesis", text)
    if block.encode() != chain.genesis.encode():
        raise BlockRefusedError("genesis", "the body of a genesis block is empty")


def _opened(path: Path) -> BinaryIO:
    if not path.exists():
        raise BlockFileError(f"Could not find file to import: {path}")
    if not path.is_file():
        raise BlockFileError(f"Unable to import blocks from {path}: it is not a regular file")
    try:
        return path.open("rb")
    except OSError as error:
        raise BlockFileError(f"Unable to import blocks from {path}: {error.strerror}") from None


def _blocks(file: BinaryIO, path: Path, start: int) -> Iterator[tuple[_Place, Block]]:
    """Each block with its place; ImportStoppedError for what is none."""
    size = path.stat().st_size
    place, previous = _Place(path, 0, start), None
    while place.offset < size:
        try:
            data = _item(file, size - place.offset)
            block = Block.decode(data)
        except RlpError as error:
            raise place.stopped("malformed", str(error)) from None
        except OSError as error:
            raise BlockFileError(f"Unable to import blocks from {path}: {error.strerror}") from None
        number = block.number if previous is None else previous + 1
        yield _Place(path, place.offset, number), block
        place, previous = _Place(path, place.offset + len(data), number + 1), number


def _item(file: BinaryIO, remaining: int) -> bytes:
    """The RLP list that starts here, of which no more than `remaining` bytes are there."""
    prefix = file.read(1)
    if prefix < b"\xc0":
        raise RlpError(f"a block is an RLP list, its first byte at least c0; found {prefix.hex()}")
    width = max(0, prefix[0] - 0xF7)
    length_bytes = file.read(width)
    length = int.from_bytes(length_bytes) if width else prefix[0] - 0xC0
    if 1 + width + length > remaining:
        raise RlpError(f"a block of {length} bytes was announced, the file ends after {remaining}")
    if length > MAX_FILE_BLOCK_BYTES:
        raise RlpError(f"a block of {length} bytes was announced, more than the {MAX_FILE_BLOCK_BYTES} accepted")
    return prefix + length_bytes + file.read(length)
