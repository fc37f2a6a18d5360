"""Running one node as a process: open its files, run until a signal comes, close in good order.

A fault of a file, a key or a database is reported in one message before a port is opened, and the status is 1.
"""

import gc
import importlib
import os
import signal
import sys
import traceback
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog
import trio

from lacnode import __version__
from lacnode.chain.block_errors import WrongGenesisError
from lacnode.chain.stored_rules import check_stored_block_forms
from lacnode.chainspec.genesis import GenesisError, load_genesis
from lacnode.chainspec.spec import ChainSpec, with_base_fee_if_fixed
from lacnode.consensus.bft.protocol_schedule import OtherProtocolError
from lacnode.consensus.protocols import protocols_of
from lacnode.crypto.node_key import KeyFileError, NodeKey, load_node_key, load_or_create_node_key
from lacnode.ethstats.server_certificate import EthstatsCertificateError
from lacnode.evm.budget import ExecutionCancelledError
from lacnode.evm.engine import PYTHON
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.native_library import NativeLibraryError
from lacnode.malloc_settings import configure_malloc
from lacnode.metrics.otlp_receiver import OtlpFileError
from lacnode.node.assembly import build_node
from lacnode.node.configuration import NodeConfig, PrivacySettings
from lacnode.node.crash_report import CrashReport
from lacnode.node.logs import ERRORS, configure_logs
from lacnode.node.node import Node
from lacnode.node.node_resources import BlockPacing, NodeResources
from lacnode.node.opened_manager import ManagerStartError, OpenedManager
from lacnode.node.signing_state import open_signing_state
from lacnode.p2p.name_resolution import look_up_address
from lacnode.p2p.p2p_network import P2pPortUnavailableError
from lacnode.permissioning.host_names import HostNames
from lacnode.permissioning.local_allowlists import open_local_permissions
from lacnode.permissioning.permissions_file import PermissionsFileError
from lacnode.primitives.rlp import RlpError
from lacnode.privacy.transaction_manager import TransactionManager
from lacnode.rpc.host_cors_filter import InvalidCorsOriginError
from lacnode.rpc.rpc_tls import RpcTlsError
from lacnode.rpc.server import PortUnavailableError
from lacnode.rpc.user import AuthenticationSetupError
from lacnode.stop_signals import stop_signals
from lacnode.storage.atomic_file import replace_text
from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.disk import PRIVATE_DIRECTORY
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import StorageError, storage_error

log = structlog.get_logger("node")

SWITCH_INTERVAL_SECONDS = 0.001
"""Seconds that a thread that executes keeps Python's lock while the event loop waits for it: a fifth of Python's own
value. The event loop asks for the lock several times for one message: measured beside a loop of jumps, it was late by
12 instead of 29 ms."""

PORTS_FILE, NETWORKS_FILE = "besu.ports", "besu.networks"


class NodeStartError(Exception):
    """The node cannot start. The text is one message for the operator."""


class NodeProgram(Protocol):
    """The part of a process that opens, runs and closes its node."""

    def open(self) -> None:
        """Open the node. NodeStartError if that is not possible."""

    async def run(self) -> None:
        """Run the node until a signal of `stop_signals` comes. Raises the errors of `serve_node`."""

    def close(self) -> None:
        """Close the files of the node."""


class SingleNodeProgram:
    """One node from the start of the process to its end. `manager` keeps the payloads of private transactions. If it is
    None, the manager of the configuration does."""

    def __init__(self, config: NodeConfig, manager: TransactionManager | None = None) -> None:
        self._config = config
        self._manager = manager

    def open(self) -> None:
        """Open the node. NodeStartError if that is not possible."""
        self._node = open_node(self._config, self._manager)

    async def run(self) -> None:
        """Run the node until a signal of `stop_signals` comes. Raises the errors of `serve_node`."""
        async with trio.open_nursery() as nursery:
            # Before the node starts: a signal during a long start must end it.
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            await nursery.start(serve_node, self._node)

    def close(self) -> None:
        """Close the files of the node."""
        self._node.close()


def run_node(config: NodeConfig, manager: TransactionManager | None = None, program: NodeProgram | None = None) -> int:
    """Run the node of `config` until SIGINT, SIGTERM or SIGHUP. `manager` keeps the payloads of private transactions.
    If it is None, the manager of the configuration does. `program` opens and runs the node. If it is None, that is a
    `SingleNodeProgram`. Return the exit status: 0 after a signal, and 1 if the node cannot start, a port is taken, or
    its data cannot be written or read, with the cause on standard error. Other errors pass through."""
    program = program or SingleNodeProgram(config, manager)
    # Before any thread: glibc gives each new thread an arena by the settings of that moment.
    configure_malloc()
    configure_logs(config.logging, config.colour, config.logging_format)
    sys.excepthook = _say_crash
    # Before the database is opened: opening a damaged one may crash.
    report = _crash_report(config)
    try:
        program.open()
    except NodeStartError as failure:
        ERRORS.write(str(failure))
        if report is not None:
            report.delete()
        return 1
    status = 0
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    # The modules and the opened node stay until the end. Otherwise each full collection of garbage visits all of their
    # objects again, and holds the event loop for 60 ms.
    gc.freeze()
    try:
        trio.run(program.run)
    except* (P2pPortUnavailableError, PortUnavailableError) as taken:
        ERRORS.write(str(_innermost(taken)))
        status = 1
    # An execution in a thread ends with this error when the node stops. It is the end of the work, not a fault.
    except* ExecutionCancelledError:
        log.debug("executions ended with the node")
    except* StorageError as failure:
        # A payload that cannot be recorded must not be signed. So the node stops. The operator repairs the disk, and
        # the node's files are whole.
        ERRORS.write(f"stopped, for its data cannot be written or read: {_innermost(failure)}")
        status = 1
    finally:
        program.close()
        _remove_runtime_files(config)
        if report is not None:
            report.delete()
    log.info("stopped")
    return status


def _say_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error as Python would itself, on an output that may not take it."""
    ERRORS.write("".join(traceback.format_exception(kind, error, trace)).rstrip())


def _crash_report(config: NodeConfig) -> CrashReport | None:
    """Return the crash report of this run. None if there is no place for it: then the node does not start either, and
    says why."""
    try:
        config.data_path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        return CrashReport(config.data_path)
    except OSError:
        return None


def open_node(config: NodeConfig, manager: TransactionManager | None = None, pacing: BlockPacing | None = None) -> Node:
    """Open the files of a node and return it. It does not run yet. A missing database, consensus log or node key is
    made. `manager` keeps the payloads of private transactions. If it is None and private transactions are on, the
    manager of the configuration is opened. Only a devnet gives a `pacing`. NodeStartError if a file or the database
    cannot be used. Its text names the file and the expected form."""
    for warning in config.warnings:
        log.warning(warning)
    try:
        spec = with_base_fee_if_fixed(load_genesis(config.genesis_file), config.pool.block_min_gas_price)
        for warning in spec.warnings:
            log.warning(f"genesis: {warning}")
        config.data_path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        key_file = config.key_file
        key = load_node_key(key_file) if key_file is not None and key_file.exists() else _made_key(config)
        fixed = (*config.p2p.bootnodes, *config.p2p.static_nodes)
        names = HostNames(look_up_address, config.host_names_update) if config.host_names else None
        local = open_local_permissions(config.permissioning, key.public_key, fixed, names)
        # Each opened file is closed again if a later step fails. `pop_all` hands all of them over to the node.
        with ExitStack() as undo:
            # The manager comes before the database: a start that the manager's configuration stops leaves the chain's
            # files alone.
            opened = None if manager is None else OpenedManager(manager)
            if opened is None and config.privacy is not None:
                opened = _opened_manager(config.privacy)
            if opened is not None and opened.hosted is not None:
                undo.callback(opened.hosted.close)
            database = undo.enter_context(closing(LmdbDatabase(config.data_path)))
            # Before the consensus log: its records name only the next block, and not where the file was changed.
            check_stored_block_forms(database, protocols_of(spec))
            records = undo.enter_context(closing(_signing_state(config, spec, key, database)))
            resources = NodeResources(spec, key, database, records, opened, local, pacing or BlockPacing())
            node = build_node(config, resources)
            undo.pop_all()
            return node
    # The command line has checked most of these files. One may have gone or changed since.
    except (
        InvalidCorsOriginError,
        AuthenticationSetupError,
        EthstatsCertificateError,
        GenesisError,
        KeyFileError,
        ManagerStartError,
        NativeLibraryError,
        OtlpFileError,
        PermissionsFileError,
        RpcTlsError,
        StorageError,
        WrongGenesisError,
    ) as error:
        raise NodeStartError(str(error)) from None
    except OtherProtocolError as error:
        raise NodeStartError(
            f"{config.data_path / 'consensus.log'}: this validator has prepared a block of another protocol: {error}. "
            "It may be final elsewhere, so the protocol must change above this block (config.qbft.startBlock)"
        ) from None
    except RlpError as error:
        raise NodeStartError(f"{config.data_path / 'consensus.log'} is damaged: {error}") from None
    except OSError as error:
        raise NodeStartError(f"{error.filename or config.data_path}: {error.strerror}") from None


def _signing_state(config: NodeConfig, spec: ChainSpec, key: NodeKey, database: LmdbDatabase) -> ConsensusLog:
    return open_signing_state(
        config.data_path, key.address, database, protocols_of(spec), reset=config.reset_signing_state
    )


def _made_key(config: NodeConfig) -> NodeKey:
    return load_or_create_node_key(config.key_file or config.data_path / "key")


async def serve_node(node: Node, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Run an opened node until cancelled, and write its files for scripts (ports, addresses, process id). Reports as
    started when they are written. The files are not removed at the end. The errors are those of `Node.run`, and
    StorageError if a file cannot be written. Each comes in an exception group."""
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        # The files come after the ports are open, since they name the real ports. Scripts take their presence for a
        # running node.
        _write_runtime_files(node)
        _log_start(node)
        task_status.started()


async def stop_on_signal(scope: trio.CancelScope) -> None:
    """Wait for one of `stop_signals`, cancel `scope` and return."""
    with trio.open_signal_receiver(*stop_signals()) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            scope.cancel()
            return


def _log_start(node: Node) -> None:
    head = node.chain.head.header.number
    role = "validator" if node.key.address in node.chain.validators_after(node.chain.head.header) else "follower"
    if node.config.evm is EngineKind.AUTO and node.engine_name == PYTHON:
        log.info(f"py-evm executes contracts; the native engine is many times faster ({why_no_library()})")
    log.info(
        f"lacnode {__version__} is up",
        role=role,
        address="0x" + node.key.address.hex(),
        network=node.network_id,
        head=head,
        evm=node.engine_name,
        enode=node.network.local_enode if node.config.p2p.enabled else "off",
        rpc_http=node.rpc.http_port or "off",
        rpc_ws=node.rpc.ws_port or "off",
        graphql="off" if node.graphql is None else node.graphql.port,
        metrics="off" if node.metrics is None else node.metrics.port,
    )


def _opened_manager(settings: PrivacySettings) -> OpenedManager:
    """Open the manager of `settings`. Its modules are loaded only where it is wanted: a manager's libraries are a
    fifth of the time to start, and 20 MB."""
    opened: OpenedManager = importlib.import_module("lacnode.node.manager_start").open_manager(settings)
    return opened


def _write_runtime_files(node: Node) -> None:
    """Write the files that Besu writes for scripts: ports, addresses, process id. StorageError if they cannot be
    written."""
    config = node.config
    ports = {"json-rpc": node.rpc.http_port, "ws-rpc": node.rpc.ws_port}
    if node.graphql is not None:
        ports["graphql-http"] = node.graphql.port
    if node.metrics is not None:
        ports["metrics"] = node.metrics.port
    if config.p2p.enabled:
        ports["p2p"] = node.network.local_enode.tcp
        ports["discovery"] = node.network.local_enode.udp
    lines = "".join(f"{name}={port}\n" for name, port in ports.items() if port is not None)
    host = config.p2p.host
    if config.pid_file is not None:
        _write(config.pid_file, f"{os.getpid()}\n")
    _write(config.data_path / NETWORKS_FILE, f"global-ip={host}\nlocal-ip={host}\n")
    # The ports come last: a script that waits for this file then finds the other files too.
    _write(config.data_path / PORTS_FILE, lines)


def _write(file: Path, text: str) -> None:
    try:
        replace_text(file, text)
    except OSError as error:
        raise storage_error(file, "writing", error) from None


def _remove_runtime_files(config: NodeConfig) -> None:
    files: list[Path] = [config.data_path / PORTS_FILE, config.data_path / NETWORKS_FILE]
    for file in [*files, *([config.pid_file] if config.pid_file is not None else [])]:
        file.unlink(missing_ok=True)


def _innermost(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
