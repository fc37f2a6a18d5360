"""The manager as a process. It opens its files and serves until it is stopped. An error is one message and status 1."""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
import trio

from lacnode.http.connection_server import PortUnavailableError
from lacnode.malloc_settings import configure_malloc
from lacnode.privacy.keys import KeyRing
from lacnode.privacy.manager.key_files import MAX_KEY_FILE_BYTES, PrivacyKeyError, load_key_pairs, load_public_key
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.manager.quota import MEGABYTE, QuotaSettings
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.service.fingerprints import TlsSetupError
from lacnode.privacy.service.manager_config import ManagerConfig, ManagerConfigError, is_loopback, parse_networks
from lacnode.privacy.service.manager_service import ManagerService, ServiceSettings
from lacnode.privacy.service.tls import (
    ServerTls,
    Tls,
    load_or_create_client_tls,
    load_or_create_server_tls,
    parse_trust,
)
from lacnode.stop_signals import stop_signals
from lacnode.storage.atomic_file import replace_text
from lacnode.storage.bounded_file import read_bounded

log = structlog.get_logger("privacy")

PORTS_FILE = "orion.ports"
MIN_TOKEN_CHARACTERS = 16

T = TypeVar("T")


def run_manager(config: ManagerConfig, clear_known_nodes: bool = False) -> int:
    """Open the manager of `config` and serve until SIGINT, SIGTERM or SIGHUP. Return the exit status of the process: 0
    after a signal, 1 after an error, whose message is then on standard error. `clear_known_nodes` forgets the managers
    of earlier runs."""
    # Before any thread: glibc gives each new thread an arena by the settings of that moment.
    configure_malloc()
    try:
        service = open_service(config, clear_known_nodes=clear_known_nodes)
    except (ManagerConfigError, PrivacyKeyError, StoreError, TlsSetupError, OSError) as error:
        # Before the start there is no log. The one message goes to the terminal.
        print(error, file=sys.stderr)
        return 1
    # The port file of an earlier run is replaced when the new ports are open.
    ports, status = config.resolve_path(PORTS_FILE), 0
    try:
        trio.run(_run, service, ports)
        log.info("stopped")
    # trio wraps errors of tasks in groups. The message is that of the innermost error.
    except* (PortUnavailableError, ManagerConfigError, PrivacyKeyError, StoreError, TlsSetupError, OSError) as failure:
        print(_innermost(failure), file=sys.stderr)
        status = 1
    finally:
        service.close()
        # Scripts wait for this file to know the ports. It must not name ports of a process that has ended.
        with suppress(OSError):
            ports.unlink(missing_ok=True)
    return status


def open_service(
    config: ManagerConfig, *, with_client_port: bool = True, clear_known_nodes: bool = False
) -> ManagerService:
    """Return the manager of `config`, with its files read and its store open. It does not serve before `run` is called.
    Without `with_client_port` it has no client port: it is for a node in the same process. The working directory is
    created. `clear_known_nodes` forgets the managers of earlier runs.

    ManagerConfigError, PrivacyKeyError, StoreError, TlsSetupError or OSError if it cannot be opened. The store is
    closed then.
    """
    # The folder has private keys. Other users of the machine must not list it.
    config.resolve_path(".").mkdir(mode=0o700, parents=True, exist_ok=True)
    files = _read_files(config)
    store = PayloadStore(config.store_url)
    try:
        if clear_known_nodes:
            # The option of Orion. It helps when a stored URL is wrong and its manager is gone.
            store.put_known_nodes({})
        settings = _settings(config, store, files)
        # A warning and not an error: Orion starts so, and existing configurations must keep working.
        if with_client_port and config.is_open_to_everyone:
            log.warning(OPEN_CLIENT_PORT.format(host=config.clientnetworkinterface, port=config.clientport))
        for notice in config.notices:
            log.warning(notice)
        if len(set(files.always_send_to)) > 1:
            log.warning(SEVERAL_KEYS_ADDED)
        return ManagerService(files.keys, store, settings if with_client_port else replace(settings, client_port=None))
    except BaseException:
        # The store is open already. An error in the settings must not leave its connections and its lock behind.
        store.close()
        raise


SEVERAL_KEYS_ADDED = (
    "alwayssendto adds several keys to the groups of recipients. A manager of this kind refuses such a payload with "
    "PrivacyGroupNotFound unless it has the same keys in its own alwayssendto, or has sent to the same group before: the "
    "group's id is computed from keys that it is not told, and a stranger's could not be told from it. Give all managers "
    "the same alwayssendto, or send to groups that are made by name"
)

OPEN_CLIENT_PORT = (
    "THE CLIENT PORT IS OPEN TO EVERYONE who reaches {host}:{port}: any request there may read every private payload of "
    "this manager and send in its name. Close it in the configuration: clientallowednetworks with the networks of its "
    "nodes, or clientconnectiontls = strict with clientconnectiontlsservertrust = whitelist, or "
    "clientnetworkinterface = 127.0.0.1. clienttokenfile closes it too, also for nodes: they cannot send the token"
)


@dataclass(frozen=True, slots=True)
class _Files:
    """The content of the files that a configuration names."""

    keys: KeyRing
    token: str | None
    always_send_to: list[bytes]
    tls: Tls | None
    client_tls: ServerTls | None


def _read_files(config: ManagerConfig) -> _Files:
    """Read every file of `config`. ManagerConfigError with the mistakes of all files."""
    # All files are read before an error is reported. The operator then corrects every mistake after one start.
    wrong: list[str] = []

    def tried(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (ManagerConfigError, PrivacyKeyError, TlsSetupError, OSError) as error:
            wrong.append(str(error))
            return None

    keys = tried(lambda: _keys(config))
    token = tried(lambda: _token(config.resolve_path(config.clienttokenfile))) if config.clienttokenfile else None
    others = [tried(partial(load_public_key, config.resolve_path(name))) for name in config.alwayssendto]
    tls = tried(lambda: _tls(config)) if config.tls == "strict" else None
    client_tls = tried(lambda: _tls_for_clients(config)) if config.clientconnectiontls == "strict" else None
    if wrong or keys is None:
        raise ManagerConfigError("; ".join(wrong))
    return _Files(keys, token, [key for key in others if key is not None], tls, client_tls)


def _keys(config: ManagerConfig) -> KeyRing:
    passwords = config.resolve_path(config.passwords) if config.passwords else None
    # Relative names are in the working directory, as in Orion.
    public, private = (list(map(config.resolve_path, names)) for names in (config.publickeys, config.privatekeys))
    if not public:
        raise ManagerConfigError("publickeys, privatekeys: at least one pair was expected; -g makes one")
    return KeyRing(load_key_pairs(public, private, passwords))


def _settings(config: ManagerConfig, store: PayloadStore, files: _Files) -> ServiceSettings:
    return ServiceSettings(
        node_host=config.nodenetworkinterface,
        node_port=config.nodeport,
        node_url=config.nodeurl,
        client_host=config.clientnetworkinterface,
        client_port=config.clientport,
        token=files.token,
        client_networks=parse_networks("clientallowednetworks", config.clientallowednetworks),
        client_any_host=not is_loopback(config.clientnetworkinterface),
        other_nodes=config.othernodes,
        tessera_nodes=config.tesseranodes,
        always_send_to=files.always_send_to,
        tls=files.tls,
        client_tls=files.client_tls,
        recover=config.alwaysrecover or store.is_empty(),
        only_proven=config.onlyprovenkeys,
        allowed_networks=parse_networks("peerallowednetworks", config.peerallowednetworks),
        quota=QuotaSettings(
            config.knownkeysmegabytes * MEGABYTE,
            config.unknownkeysmegabytes * MEGABYTE,
            config.diskreservemegabytes * MEGABYTE,
        ),
        directory=config.resolve_path("."),
        denied_networks=parse_networks("peerdeniednetworks", config.peerdeniednetworks),
    )


def _tls(config: ManagerConfig) -> Tls:
    of_clients = parse_trust("tlsservertrust", config.tlsservertrust, config.resolve_path(config.tlsknownclients))
    of_servers = parse_trust("tlsclienttrust", config.tlsclienttrust, config.resolve_path(config.tlsknownservers))
    # A certificate that is created now must be valid for the host that other managers call.
    host = urlsplit(config.nodeurl).hostname or config.nodenetworkinterface
    chain, client_chain = (
        list(map(config.resolve_path, names)) for names in (config.tlsserverchain, config.tlsclientchain)
    )
    server = load_or_create_server_tls(
        config.resolve_path(config.tlsservercert), config.resolve_path(config.tlsserverkey), of_clients, host, chain
    )
    client = load_or_create_client_tls(
        config.resolve_path(config.tlsclientcert),
        config.resolve_path(config.tlsclientkey),
        of_servers,
        host,
        client_chain,
    )
    return Tls(server, client)


def _tls_for_clients(config: ManagerConfig) -> ServerTls:
    known = config.resolve_path(config.clientconnectiontlsknownclients)
    trust = parse_trust("clientconnectiontlsservertrust", config.clientconnectiontlsservertrust, known)
    certificate = config.resolve_path(config.clientconnectiontlsservercert)
    key, host = config.resolve_path(config.clientconnectiontlsserverkey), config.clientnetworkinterface
    chain = list(map(config.resolve_path, config.clientconnectiontlsserverchain))
    return load_or_create_server_tls(certificate, key, trust, host, chain)


def _token(path: Path) -> str:
    # The bound protects from a wrong file name, such as that of a device.
    try:
        token = read_bounded(path, MAX_KEY_FILE_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ManagerConfigError(f"clienttokenfile: {path} cannot be read as ASCII text") from None
    # A short token could be guessed by asking. A line break in it could not be sent in a header.
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isprintable():
        raise ManagerConfigError(
            f"clienttokenfile: {path}: at least {MIN_TOKEN_CHARACTERS} printable characters were expected"
        )
    return token


async def _run(service: ManagerService, ports: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        await nursery.start(service.run)
        # The file is written when both ports are open, and by a rename. A reader never sees half of it.
        text = f"http-node-port={service.node_port}\nhttp-client-port={service.client_port}\n"
        replace_text(ports, text)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(*stop_signals()) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            scope.cancel()
            return


def _innermost(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
