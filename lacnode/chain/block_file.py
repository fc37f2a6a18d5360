"""Files of blocks, one RLP item after the other, as `blocks export` writes and `blocks import` reads them.

A file may come from anywhere. It is read block by block, and an announced length is checked against the size of the file.
This file must not decide which block is valid.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError

MAX_FILE_BLOCK_BYTES = 128 << 20
"""The largest block in a file. It is more than a block of 350 million gas can hold."""


class BlockFileError(Exception):
    """A file of blocks cannot be read or written. The text names the file."""


class ExportRangeError(Exception):
    """A range of blocks cannot be exported: a number is negative, or the end is not above the start. The text is Besu's."""


class ImportStoppedError(Exception):
    """An import stopped at a block, which was not stored. The blocks that were imported before it stay.

    `number` is the number of the block, or the expected one if it has none. `rule` is the broken rule, and `offset` is
    the first byte of the block in the file.
    """

    def __init__(self, path: Path, offset: int, number: int, rule: str, text: str) -> None:
        super().__init__(f"{path}: block {number}, at byte {offset}, refused by rule {rule}: {text}")
        self.offset = offset
        self.number = number
        self.rule = rule


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many blocks were imported, and how many were skipped: known ones, the genesis block, and blocks out of the
    range."""

    imported: int
    skipped: int


@dataclass(frozen=True, slots=True)
class _FilePosition:
    """The position of a block in a file, and the number that the block should have."""

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
    """Import the blocks with `start` <= number < `end` (None for no end) of the file at `path`. They are verified in
    full. Known blocks, the genesis block and the blocks out of this range are skipped and counted as such. A block out
    of the range is decoded, and nothing else of it is checked.

    `progress` is called with the number of each imported block. Raises ImportStoppedError at the first bad block, also
    for another genesis block and for an item out of the range that is no block. Raises BlockFileError if the file
    cannot be read, and StorageError if the database fails. The blocks before stay imported, but after a StorageError
    the last ones may be lost (`Blockchain.bulk_import`).
    """
    imported = skipped = 0
    with chain.bulk_import(), _open_file(path) as file:
        for position, block in _blocks(file, path, start):
            if not start <= block.number < (block.number + 1 if end is None else end):
                # Decoded but not imported: the lengths are the only way to the next block.
                skipped += 1
            elif _import(chain, block, position):
                imported += 1
                progress(block.number)
            else:
                skipped += 1
    return ImportReport(imported, skipped)


def check_export_range(start: int | None, end: int | None) -> None:
    """Return if 0 <= `start` < `end`. Raises ExportRangeError otherwise. None is the genesis block or the head, and is
    not compared."""
    for name, number in (("--start-block", start), ("--end-block", end)):
        if number is not None and number < 0:
            raise ExportRangeError(f"Parameter {name} ({number}) must be greater than or equal to zero.")
    if start is not None and end is not None and end <= start:
        raise ExportRangeError(f"Parameter --end-block ({end}) must be greater start block ({start}).")


def export_blocks(
    chain: Blockchain,
    to: Path,
    *,
    start: int | None = None,
    end: int | None = None,
    progress: Callable[[int], None] = lambda number: None,
) -> int:
    """Write the blocks `start` (default: genesis) <= number < `end` (default: after the head) to `to`, and stop after
    the head.

    Returns the number of written blocks. As in Besu, the file is appended to if `start` is given, and replaced
    otherwise. `progress` is called with the number of each written block. Raises ExportRangeError for an impossible
    range, BlockFileError if the file cannot be written, and StorageError if a block cannot be read.
    """
    check_export_range(start, end)
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


def _import(chain: Blockchain, block: Block, position: _FilePosition) -> bool:
    try:
        if block.number == 0:
            # A file from the genesis on has the genesis block. It is compared, because it cannot be imported.
            _check_genesis(chain, block)
            return False
        return chain.import_block(block)
    except BlockRefusedError as refusal:
        raise position.stopped(refusal.rule, str(refusal)) from None


def _check_genesis(chain: Blockchain, block: Block) -> None:
    found = chain.protocols.block_hash(block.header)
    if found != chain.genesis_hash:
        text = f"its hash is 0x{found.hex()}, this network's genesis has 0x{chain.genesis_hash.hex()}"
        raise BlockRefusedError("genesis", text)
    # The hash of the header fixes the body, but a file may hold another one.
    if block.encode() != chain.genesis.encode():
        raise BlockRefusedError("genesis", "the body of a genesis block is empty")


def _open_file(path: Path) -> BinaryIO:
    if not path.exists():
        raise BlockFileError(f"Could not find file to import: {path}")
    if not path.is_file():
        raise BlockFileError(f"Unable to import blocks from {path}: it is not a regular file")
    try:
        return path.open("rb")
    except OSError as error:
        raise BlockFileError(f"Unable to import blocks from {path}: {error.strerror}") from None


def _blocks(file: BinaryIO, path: Path, start: int) -> Iterator[tuple[_FilePosition, Block]]:
    """Yield each block with its position. Raises ImportStoppedError if an item is not a block."""
    size = path.stat().st_size
    position, previous = _FilePosition(path, 0, start), None
    while position.offset < size:
        try:
            data = _item(file, size - position.offset)
            block = Block.decode(data)
        except RlpError as error:
            raise position.stopped("malformed", str(error)) from None
        except OSError as error:
            raise BlockFileError(f"Unable to import blocks from {path}: {error.strerror}") from None
        # The first block may have any number. Each later one should follow it, and errors name the expected number.
        number = block.number if previous is None else previous + 1
        yield _FilePosition(path, position.offset, number), block
        position, previous = _FilePosition(path, position.offset + len(data), number + 1), number


def _item(file: BinaryIO, remaining: int) -> bytes:
    """Read the RLP list that starts here. The file has `remaining` more bytes. Raises RlpError if it is not a list."""
    prefix = file.read(1)
    if prefix < b"\xc0":
        raise RlpError(f"a block is an RLP list, its first byte at least c0; found {prefix.hex()}")
    # RLP: c0 to f7 is a list of up to 55 bytes. f8 to ff is followed by the length of the list in 1 to 8 bytes.
    width = max(0, prefix[0] - 0xF7)
    length_bytes = file.read(width)
    length = int.from_bytes(length_bytes) if width else prefix[0] - 0xC0
    # Before reading: an announced length of many gigabytes would be allocated first.
    if 1 + width + length > remaining:
        raise RlpError(f"a block of {length} bytes was announced, the file ends after {remaining}")
    if length > MAX_FILE_BLOCK_BYTES:
        raise RlpError(f"a block of {length} bytes was announced, more than the {MAX_FILE_BLOCK_BYTES} accepted")
    return prefix + length_bytes + file.read(length)
