"""`blocks import` and `blocks export`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lacnode.chain.block_errors import WrongGenesisError
from lacnode.chain.block_file import (
    BlockFileError,
    ExportRangeError,
    ImportStoppedError,
    check_export_range,
    export_blocks,
    import_blocks,
)
from lacnode.chain.blockchain import Blockchain, ChainSettings
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.cli.command_arguments import parse_command_arguments, required_option
from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import make_node_config
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import Settings
from lacnode.evm.engine_factory import make_engine
from lacnode.node.configuration import NodeConfig
from lacnode.node.logs import configure_logs
from lacnode.node.run_node import run_node
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import StorageError

KNOWN = {"from": None, "to": None, "format": "RLP", "start-block": None, "end-block": None, "start-time": None}
FLAGS = ("skip-pow-validation-enabled", "run")


def run(words: Sequence[str], settings: Settings) -> int:
    """Import or export blocks. `words` are those after `blocks`. Return the exit status: 0, or 1 if a file could not be
    imported to its end. The files after this one are imported all the same. With `--run`, the node starts if all
    imports were complete, and the status is that of the node. UsageError for a wrong command line, a missing file,
    settings or a chain that cannot be used, or an export that fails."""
    values, rest = parse_command_arguments(words, KNOWN, flags=FLAGS, command="blocks")
    if values["format"] != "RLP":
        raise UsageError(f"Invalid value for option '--format': RLP was expected, not '{values['format']}'", 2)
    # The command prints its own report. Informative log lines would be mixed with it.
    configure_logs("WARN")
    try:
        # The range is checked before the chain is opened: a wrong number must not cost the start of an engine.
        start, end = _number(values, "start-block"), _number(values, "end-block")
        check_export_range(start, end)
    except ExportRangeError as error:
        raise UsageError(str(error)) from None
    if rest[:1] == ["export"]:
        return _export(Path(required_option(values, "to")), start, end, SettingsReader(settings))
    if rest[:1] != ["import"]:
        raise UsageError("blocks import or blocks export was expected", 2)
    files = [Path(name) for name in [*([values["from"]] if values["from"] else []), *rest[1:]]]
    if not files:
        raise UsageError("No files specified to import.")
    for file in files:
        if not file.exists():
            raise UsageError(f"Could not find file to import: {file}")
    # The whole configuration of the node is read, because `--run` starts the node with it after the import.
    config = make_node_config(settings)
    status = _import(files, config, start or 0, end)
    # A node never starts on a chain whose import stopped half-way: it would look healthy and be behind.
    return run_node(config) if status == 0 and values.get("run") == "true" else status


def _opened(config: NodeConfig) -> tuple[Blockchain, LmdbDatabase]:
    """Open the chain and its database. The account contract of the node guards this chain too, because that contract
    is part of what makes a block valid. UsageError if the genesis or the database cannot be used."""
    try:
        spec = load_genesis(config.genesis_file)
        database = LmdbDatabase(config.data_path)
        engine = make_engine(spec, DatabaseNodeStore(database), kind=config.evm)
        address = config.permissioning.account_contract
        # `chain` is made below. The function reads it when a contract is called, which is after this method has
        # returned.
        contracts = ChainContracts(spec, engine, lambda number: chain.hash_at(number))
        permissions = ALLOW_ALL_ACCOUNTS
        if address is not None:
            permissions = AccountPermissions(contract=AccountContract(contracts, address, spec.permissioning))
        settings = ChainSettings(keep_revert_reasons=config.keep_revert_reasons)
        chain = Blockchain(spec, database, engine, settings=settings, permissions=permissions)
        return chain, database
    except (GenesisError, StorageError, WrongGenesisError) as error:
        raise UsageError(str(error)) from None


def _import(files: Sequence[Path], config: NodeConfig, start: int, end: int | None) -> int:
    chain, database = _opened(config)
    status = 0
    try:
        for file in files:
            try:
                report = import_blocks(chain, file, start=start, end=end, progress=_progress)
                print(f"{file}: {report.imported} blocks imported, head is now {chain.head.header.number:,}")
            # A bad file does not stop the files after it. The status says that one failed.
            except (ImportStoppedError, BlockFileError, StorageError) as error:
                print(f"Unable to import blocks from {file}: {error}", file=sys.stderr)
                status = 1
    finally:
        database.close()
    return status


def _progress(number: int) -> None:
    if number % 1000 == 0 and sys.stderr.isatty():
        print(f"\rblock {number:,}", end="", file=sys.stderr, flush=True)


def _export(target: Path, start: int | None, end: int | None, read: SettingsReader) -> int:
    """Export blocks to `target`. The export only reads the database. So it asks for no option that only a running
    node needs. UsageError without a genesis, without a database, or for a file that cannot be written."""
    genesis = read.path("genesis-file")
    if genesis is None:
        raise UsageError("--genesis-file is missing: an export starts at the genesis block")
    # Opening a database makes one. A mistyped data path must not leave an empty database behind.
    if not (read.data_path / "database").exists():
        raise UsageError(f"Chain is empty.  Unable to export blocks from specified data directory: {read.data_path}")
    chain, database = _opened(NodeConfig(data_path=read.data_path, genesis_file=genesis))
    try:
        export_blocks(chain, target, start=start, end=end)
    except (BlockFileError, StorageError) as error:
        raise UsageError(str(error)) from None
    finally:
        database.close()
    return 0


def _number(values: dict[str, str | None], name: str) -> int | None:
    text = values[name]
    if text is None:
        return None
    # `int` alone would also take spaces, underscores, and digits of other scripts. A long has up to 19 digits.
    if not re.fullmatch("[+-]?[0-9]{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise UsageError(f"Invalid value for option '--{name}': '{text[:80]}' is not a long", 2)
    return int(text)
