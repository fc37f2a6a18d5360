"""`blocks import` and `blocks export`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.chain.block_file import BlockFileError, ImportStopped, export_blocks, import_blocks
from lacnode.chain.blockchain import Blockchain, ChainSettings
from lacnode.chain.refusal import WrongNetwork
from lacnode.chain.store import DatabaseNodeStore
from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import node_config
from lacnode.cli.sources import Settings
from lacnode.cli.words import parse_words, required
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.node.logs import configure_logs
from lacnode.storage.errors import StorageError
from lacnode.storage.lmdb_database import LmdbDatabase

KNOWN = {"from": None, "to": None, "format": "RLP", "start-block": None, "end-block": None, "start-time": None}
FLAGS = ("skip-pow-validation-enabled", "run")


def run(words: Sequence[str], settings: Settings) -> int:
    """Import or export; the exit status."""
    values, rest = parse_words(words, KNOWN, flags=FLAGS, command="blocks")
    if values["format"] != "RLP":
        raise UsageError(f"Invalid value for option '--format': RLP was expected, not '{values['format']}'", 2)
    config = node_config(settings)
    configure_logs("WARN")
    if rest[:1] == ["export"]:
        return _export(values, config.data_path, config.genesis_file)
    if rest[:1] != ["import"]:
        raise UsageError("blocks import or blocks export was expected", 2)
    files = [Path(name) for name in [*([values["from"]] if values["from"] else []), *rest[1:]]]
    if not files:
        raise UsageError("No files specified to import.")
    for file in files:
        if not file.exists():
            raise UsageError(f"Could not find file to import: {file}")
    return _import(files, config.data_path, config.genesis_file, config.keep_revert_reasons)


def _opened(data_path: Path, genesis: Path, keep_reasons: bool) -> tuple[Blockchain, LmdbDatabase]:
    try:
        spec = load_genesis(genesis)
        database = LmdbDatabase(data_path)
        engine = PyEvmEngine(spec, DatabaseNodeStore(database))
        return Blockchain(spec, database, engine, settings=ChainSettings(keep_revert_reasons=keep_reasons)), database
    except (GenesisError, StorageError, WrongNetwork) as error:
        raise UsageError(str(error)) from None


def _import(files: Sequence[Path], data_path: Path, genesis: Path, keep_reasons: bool) -> int:
    chain, database = _opened(data_path, genesis, keep_reasons)
    status = 0
    try:
        for file in files:
            try:
                report = import_blocks(chain, file, progress=_progress)
                print(f"{file}: {report.imported} blocks imported, head is now {chain.head.header.number:,}")
            except (ImportStopped, BlockFileError, StorageError) as error:
                print(f"Unable to import blocks from {file}: {error}", file=sys.stderr)
                status = 1
    finally:
        database.close()
    return status


def _progress(number: int) -> None:
    if number % 1000 == 0 and sys.stderr.isatty():
        print(f"\rblock {number:,}", end="", file=sys.stderr, flush=True)


def _export(values: dict[str, str | None], data_path: Path, genesis: Path) -> int:
    target = Path(required(values, "to"))
    start, end = _number(values, "start-block"), _number(values, "end-block")
    if not (data_path / "database").exists():
        raise UsageError(f"Chain is empty.  Unable to export blocks from specified data directory: {data_path}")
    chain, database = _opened(data_path, genesis, False)
    try:
        export_blocks(chain, target, start=start, end=end)
    except (BlockFileError, StorageError, OSError) as error:
        raise UsageError(f"An error occurred while exporting blocks. {error}") from None
    finally:
        database.close()
    return 0


def _number(values: dict[str, str | None], name: str) -> int | None:
    text = values[name]
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"Invalid value for option '--{name}': '{text[:80]}' is not a long", 2) from None
    if number < 0:
        raise UsageError(f"Parameter --{name} ({number}) must be greater than or equal to zero.")
    return number
