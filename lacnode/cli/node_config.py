"""From settings to a `NodeConfig`. `option_rules` has the rules between options, `find_notices` the warnings."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from lacnode.chainspec.genesis import GenesisError, load_genesis, parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.cli.errors import UsageError
from lacnode.cli.machine_checks import PERMISSIONS_FILE, find_unusable_hosts_and_files
from lacnode.cli.notices import find_notices
from lacnode.cli.opentelemetry_variables import otlp_settings, sends_to_opentelemetry
from lacnode.cli.option_rules import NO_GENESIS, check_against_chain, check_rules, find_broken_rules, pool_kind
from lacnode.cli.privacy_options import privacy_settings
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.sources import Settings
from lacnode.cli.tls_options import graphql_tls, http_tls, websocket_tls
from lacnode.ethstats.ethstats_settings import EthstatsSettings, EthstatsUrlError, parse_ethstats_url
from lacnode.ethstats.server_certificate import EthstatsCertificateError, tls_context
from lacnode.evm.block_limits import MAX_BLOCK_BYTES
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.native_library import NativeLibraryError
from lacnode.graphql.settings import GRAPHQL_TITLE, GraphQlSettings
from lacnode.metrics.metrics_settings import (
    DEFAULT_CATEGORIES,
    MetricCategory,
    MetricsSettings,
    OtlpSettings,
    PushSettings,
)
from lacnode.node.configuration import MiningSettings, NodeConfig, P2pSettings
from lacnode.node.role import NodeRole
from lacnode.p2p.name_resolution import UnknownHostError, look_up_address, resolve_enode
from lacnode.p2p.wire.enode import Enode, EnodeError, parse_static_nodes
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.primitives.hexadecimal import address_from_hex, fixed_from_hex, from_hex
from lacnode.rpc.method_registry import GROUPS
from lacnode.rpc.rpc_tls import RpcTlsError, load_tls_handshakes
from lacnode.rpc.server import HTTP_TITLE, WEBSOCKET_TITLE
from lacnode.rpc.settings import ApiSettings, AuthenticationSettings, HttpSettings, IpcSettings, WebSocketSettings
from lacnode.txpool.pool_settings import PoolSettings

MAX_STATIC_NODES_FILE_BYTES = 2**24
"""Bytes: more than the longest list that is accepted."""


def make_node_config(settings: Settings) -> NodeConfig:
    """Return the configuration that `settings` mean. UsageError for the first setting that is wrong, that cannot be
    used on this machine, or that this release does not have yet."""
    read = SettingsReader(settings)
    # Rules between options come first: they have the texts that operators search for. Groups and origins follow, and then
    # the genesis.
    check_rules(read)
    http, websocket = _http(read), _websocket(read)
    spec = _chain(read)
    check_against_chain(read, spec)
    config = _node_config(read, spec, http, websocket)
    # This machine is looked at last. Host names and files mean nothing while the settings contradict each other.
    for text in find_unusable_hosts_and_files(read):
        raise UsageError(text)
    return config


def find_mistakes(settings: Settings) -> Iterator[str]:
    """Yield reasons for which a node with `settings` would not start, one sentence each: all broken rules between
    options, the first mistake of each part of the settings, and each host, file or directory that this machine cannot
    use. One mistake may come twice. A genesis file that `settings` do not name is no mistake: the rules that need one
    are tried on a placeholder."""
    read = SettingsReader(settings)
    # Each part is tried alone: all mistakes are wanted, and a mistake in one part must not hide those of another.
    yield from (text for text in find_broken_rules(read) if text != NO_GENESIS)
    parts: list[Callable[[SettingsReader], object]] = [
        _http,
        _websocket,
        _ipc,
        _graphql,
        _metrics,
        _metrics_push,
        _metrics_otlp,
        _ethstats,
        _api,
    ]
    parts += [
        _tls_files,
        _permissioning,
        _mining,
        _evm,
        privacy_settings,
        partial(_with_chain, [_p2p, _pool, check_against_chain]),
    ]
    for part in parts:
        try:
            part(read)
        except UsageError as error:
            yield str(error)
    yield from find_unusable_hosts_and_files(read)


def spec_or_placeholder(read: SettingsReader) -> ChainSpec:
    """Return the chain of the genesis file. If `read` names no file, return the chain of a minimal IBFT 2.0 genesis.
    UsageError if the file cannot be used."""
    return _chain(read) if read.is_set("genesis-file") else parse_genesis(_ANY_GENESIS)


_ANY_GENESIS = {"config": {"ibft2": {}}, "difficulty": "0x1", "gasLimit": "0x1"}


def _with_chain(parts: Sequence[Callable[[SettingsReader, ChainSpec], object]], read: SettingsReader) -> None:
    spec = spec_or_placeholder(read)
    for part in parts:
        part(read, spec)


def _node_config(
    read: SettingsReader, spec: ChainSpec, http: HttpSettings | None, websocket: WebSocketSettings | None
) -> NodeConfig:
    groups = (*(http.groups if http else ()), *(websocket.groups if websocket else ()))
    return NodeConfig(
        data_path=read.data_path,
        genesis_file=Path(read.text("genesis-file")),
        key_file=read.path("node-private-key-file"),
        network_id=read.number("network-id") if read.is_set("network-id") else None,
        identity=read.text_or_none("identity"),
        role=NodeRole[read.text("node-role")] if read.is_set("node-role") else None,
        p2p=_p2p(read, spec),
        http=http,
        websocket=websocket,
        ipc=_ipc(read),
        graphql=_graphql(read),
        metrics=_metrics(read),
        metrics_push=_metrics_push(read),
        metrics_otlp=_metrics_otlp(read),
        ethstats=_ethstats(read),
        api=_api(read),
        permissioning=_permissioning(read),
        pool=_pool(read, spec),
        mining=_mining(read),
        privacy=privacy_settings(read),
        host_names=read.flag("Xdns-enabled"),
        host_names_update=read.flag("Xdns-update-enabled"),
        keep_revert_reasons=read.flag("revert-reason-enabled"),
        evm=_evm(read),
        logging=read.text("logging"),
        logging_format=read.text("logging-format"),
        colour=read.flag("color-enabled") if read.is_set("color-enabled") else None,
        pid_file=read.path("pid-path"),
        faults_file=read.path("Xnetwork-faults-file"),
        devnet_directory=read.path("Xdevnet-directory"),
        reset_signing_state=read.flag("reset-signing-state"),
        warnings=tuple(find_notices(read, spec, groups)),
    )


def _evm(read: SettingsReader) -> EngineKind:
    # AUTO stays AUTO: the node resolves it when it makes its engines. A kind that was asked for by name must be
    # there at the start.
    kind = EngineKind(read.text("evm").lower())
    try:
        return kind if kind is EngineKind.AUTO else kind.resolved
    except NativeLibraryError as error:
        raise UsageError(f"--evm={kind.value}: {error}; `make native` builds it, --evm=auto does without") from None


def _chain(read: SettingsReader) -> ChainSpec:
    try:
        return load_genesis(Path(read.text("genesis-file")))
    except GenesisError as error:
        raise UsageError(str(error)) from None


# -- the network ---------------------------------------------------------------------------------------------------


def _p2p(read: SettingsReader, spec: ChainSpec) -> P2pSettings:
    # Without the limit the share is None: then peers that connect may take every place.
    limited = read.flag("remote-connections-limit-enabled")
    return P2pSettings(
        enabled=read.flag("p2p-enabled"),
        host=_advertised(read.text("p2p-host")),
        interface=read.text("p2p-interface"),
        port=read.number("p2p-port"),
        max_peers=read.number("max-peers"),
        inbound_share=read.number("remote-connections-max-percentage") / 100 if limited else None,
        discovery=read.flag("discovery-enabled"),
        bootnodes=_bootnodes(read, spec),
        static_nodes=_static_nodes(read),
        banned_ids=frozenset(_node_id(text) for text in read.items("banned-node-ids")),
    )


def _advertised(host: str) -> str:
    """Return the address of the name `host`: peers get addresses only. A name without one is returned as it is, and
    `find_unusable_hosts_and_files` refuses it."""
    try:
        return look_up_address(host)
    except UnknownHostError:
        return host


def _bootnodes(read: SettingsReader, spec: ChainSpec) -> tuple[Enode, ...]:
    """Return the bootnodes of the option, otherwise those of `config.discovery.bootnodes` in the genesis file.
    UsageError for an entry that is no enode URL."""
    texts: object = read.settings.get("bootnodes")
    origin = ""
    if texts is None:
        # Besu reads the keys of a genesis without case.
        discovery = _member(spec.config_document, "discovery")
        texts = _member(discovery, "bootnodes") if isinstance(discovery, Mapping) else None
        origin = f"{read.text('genesis-file')}: config.discovery.bootnodes: "
    if texts is None:
        return ()
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{origin}an array of enode URLs was expected")
    try:
        return _looked_up(read, [Enode.parse(text, allow_names=read.flag("Xdns-enabled")) for text in texts])
    except EnodeError as error:
        raise UsageError(f"{origin}{error}") from None


def _member(document: Mapping[str, object], name: str) -> object:
    return next((value for key, value in document.items() if key.lower() == name), None)


def _static_nodes(read: SettingsReader) -> tuple[Enode, ...]:
    # A file that was named must exist. The one in the data path is optional.
    given = read.path("static-nodes-file")
    file = given or read.data_path / "static-nodes.json"
    if not file.exists():
        if given is not None:
            raise UsageError(f"Static nodes file {given} does not exist")
        return ()
    try:
        # The size is asked for first: the wrong file may be a database.
        if file.stat().st_size > MAX_STATIC_NODES_FILE_BYTES:
            raise UsageError(f"Static nodes file {file}: larger than {MAX_STATIC_NODES_FILE_BYTES} bytes")
        return _looked_up(read, parse_static_nodes(file.read_text("utf-8"), allow_names=read.flag("Xdns-enabled")))
    except (OSError, UnicodeDecodeError, EnodeError) as error:
        raise UsageError(f"Static nodes file {file}: {error}") from None


def _looked_up(read: SettingsReader, enodes: Sequence[Enode]) -> tuple[Enode, ...]:
    """Return the enodes with their host names resolved once and for all, unless the names are to be resolved at each
    use. EnodeError for a name without an address."""
    if read.flag("Xdns-update-enabled"):
        return tuple(enodes)
    return tuple(_resolved(enode) for enode in enodes)


def _resolved(enode: Enode) -> Enode:
    try:
        return resolve_enode(enode)
    except UnknownHostError as unknown:
        raise EnodeError(
            f"Invalid IP address '{enode}' (or DNS query resolved an invalid IP). --Xdns-enabled is true but "
            f"--Xdns-update-enabled flag is false. {unknown}"
        ) from None


def _node_id(text: str) -> bytes:
    try:
        return fixed_from_hex(text, 64, "a node id")
    except ValueError as error:
        raise UsageError(f"Invalid ids supplied to '--banned-node-ids'. {error}") from None


def _permissioning(read: SettingsReader) -> PermissioningSettings:
    return PermissioningSettings(
        accounts_file=_permissions_file(read, "accounts"),
        nodes_file=_permissions_file(read, "nodes"),
        node_contract=_permissions_contract(read, "nodes"),
        node_contract_version=read.number("permissions-nodes-contract-version"),
        account_contract=_permissions_contract(read, "accounts"),
    )


def _permissions_file(read: SettingsReader, kind: str) -> Path | None:
    if not read.flag(f"permissions-{kind}-config-file-enabled"):
        return None
    return read.path(f"permissions-{kind}-config-file") or read.data_path / PERMISSIONS_FILE


def _permissions_contract(read: SettingsReader, kind: str) -> bytes | None:
    if not read.flag(f"permissions-{kind}-contract-enabled"):
        return None
    return from_hex(read.text(f"permissions-{kind}-contract-address"))


# -- JSON-RPC ------------------------------------------------------------------------------------------------------


def _http(read: SettingsReader) -> HttpSettings | None:
    # Groups, hosts and origins are checked even while the server is off, as in Besu. A mistake shows before the day
    # on which the server is switched on.
    groups, hosts = _groups(read, "rpc-http-api"), _hosts(read)
    origins = _origins(read, "rpc-http-cors-origins")
    if not read.flag("rpc-http-enabled"):
        return None
    return HttpSettings(
        host=read.text("rpc-http-host"),
        port=read.number("rpc-http-port"),
        groups=groups,
        cors_origins=origins,
        allowed_hosts=hosts,
        max_connections=read.number("rpc-http-max-active-connections"),
        max_batch=read.number("rpc-http-max-batch-size"),
        max_body=read.number("rpc-http-max-request-content-length"),
        timeout=read.real("Xhttp-timeout-seconds"),
        pretty=read.flag("json-pretty-print-enabled"),
        authentication=_authentication(read, "http"),
        tls=http_tls(read),
    )


def _websocket(read: SettingsReader) -> WebSocketSettings | None:
    groups, origins = _groups(read, "rpc-ws-api"), _origins(read, "Xrpc-ws-cors-origins")
    if not read.flag("rpc-ws-enabled"):
        return None
    return WebSocketSettings(
        host=read.text("rpc-ws-host"),
        port=read.number("rpc-ws-port"),
        groups=groups,
        cors_origins=origins,
        allowed_hosts=_hosts(read),
        max_connections=read.number("rpc-ws-max-active-connections"),
        max_frame=read.number("rpc-ws-max-frame-size"),
        timeout=read.real("Xws-timeout-seconds"),
        authentication=_authentication(read, "ws"),
        tls=websocket_tls(read),
    )


def _ipc(read: SettingsReader) -> IpcSettings | None:
    groups = _groups(read, "Xrpc-ipc-api")
    if not read.flag("Xrpc-ipc-enabled"):
        return None
    path = read.path("Xrpc-ipc-path") or read.data_path / "besu.ipc"
    return IpcSettings(path, groups, read.real("Xhttp-timeout-seconds"))


def _tls_files(read: SettingsReader) -> None:
    """UsageError for a file of TLS that cannot be used. A start finds that when it builds the ports."""
    if not any(find_broken_rules(read)):
        ports = (
            (http_tls(read), HTTP_TITLE),
            (websocket_tls(read), WEBSOCKET_TITLE),
            (graphql_tls(read), GRAPHQL_TITLE),
        )
        for tls, title in ports:
            try:
                load_tls_handshakes(tls, title)
            except RpcTlsError as error:
                raise UsageError(str(error)) from None


def _graphql(read: SettingsReader) -> GraphQlSettings | None:
    origins, hosts = _origins(read, "graphql-http-cors-origins"), _hosts(read)
    if not read.flag("graphql-http-enabled"):
        return None
    return GraphQlSettings(
        host=read.text("graphql-http-host"),
        port=read.number("graphql-http-port"),
        cors_origins=origins,
        allowed_hosts=hosts,
        timeout=read.real("Xhttp-timeout-seconds"),
        tls=graphql_tls(read),
    )


def _authentication(read: SettingsReader, kind: str) -> AuthenticationSettings | None:
    if not read.flag(f"rpc-{kind}-authentication-enabled"):
        return None
    return AuthenticationSettings(
        credentials_file=read.path(f"rpc-{kind}-authentication-credentials-file"),
        public_key_file=read.path(f"rpc-{kind}-authentication-jwt-public-key-file"),
        algorithm=read.text(f"rpc-{kind}-authentication-jwt-algorithm"),
        open_methods=frozenset(read.items(f"rpc-{kind}-api-method-no-auth")),
        privacy_keys=read.flag("privacy-enabled") and read.flag("privacy-multi-tenancy-enabled"),
    )


def _groups(read: SettingsReader, name: str) -> tuple[str, ...]:
    groups = read.items(name)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise UsageError(f"Invalid value for option '--{name}': invalid entries found [{', '.join(unknown)}]")
    return groups


def _hosts(read: SettingsReader) -> tuple[str, ...]:
    """Return the allowed hosts. The values of the old option's name join those of the new one, and replace its
    default."""
    # Only the old name is set: the default of the new one (localhost) would open the API to a host that was not
    # asked for.
    if read.is_set("host-whitelist") and not read.is_set("host-allowlist"):
        hosts = read.items("host-whitelist")
    else:
        hosts = (*read.items("host-allowlist"), *read.items("host-whitelist"))
    hosts = tuple(dict.fromkeys(hosts))
    _check_names("Hostname", "hostnames", hosts)
    return () if hosts == ("none",) else hosts


def _origins(read: SettingsReader, name: str) -> tuple[str, ...]:
    origins = read.items(name)
    _check_names("Domain", "domains", origins)
    for origin in origins:
        if origin not in ("*", "all", "none"):
            try:
                # Besu's origins are regular expressions. A wrong one would otherwise fail at the first request of a
                # browser.
                re.compile(origin)
            except re.error:
                raise UsageError("Domain values result in invalid regex pattern") from None
    return () if origins == ("none",) else origins


def _check_names(one: str, many: str, names: tuple[str, ...]) -> None:
    if any(not name for name in names):
        raise UsageError(f"{one} cannot be empty string or null string.")
    if len(names) > 1 and "none" in names:
        raise UsageError(f"Value 'none' can't be used with other {many}")
    if len(names) > 1 and {"*", "all"} & set(names):
        raise UsageError(f"Values '*' or 'all' can't be used with other {many}")


def _api(read: SettingsReader) -> ApiSettings:
    return ApiSettings(
        max_logs_range=read.number("rpc-max-logs-range"),
        max_trace_filter_range=read.number("rpc-max-trace-filter-range"),
        gas_cap=read.number("rpc-gas-cap"),
        call_seconds=read.number("rpc-call-timeout-seconds"),
        reader_processes=read.number("rpc-reader-processes"),
        gas_price_blocks=read.number("api-gas-price-blocks"),
        gas_price_percentile=read.real("api-gas-price-percentile"),
        gas_price_max=read.number("api-gas-price-max"),
        estimate_tolerance=read.real("estimate-gas-tolerance-ratio"),
        trace_directory=read.data_path / "traces",
    )


def _metrics(read: SettingsReader) -> MetricsSettings | None:
    categories, hosts = _categories(read), _hosts(read)
    if not read.flag("metrics-enabled") or read.text("metrics-protocol") != "PROMETHEUS":
        return None
    return MetricsSettings(
        host=read.text("metrics-host"),
        port=read.number("metrics-port"),
        categories=categories,
        allowed_hosts=hosts,
    )


def _metrics_push(read: SettingsReader) -> PushSettings | None:
    if not read.flag("metrics-push-enabled") or read.text("metrics-protocol") != "PROMETHEUS":
        return None
    return PushSettings(
        host=read.text("metrics-push-host"),
        port=read.number("metrics-push-port"),
        interval_seconds=read.number("metrics-push-interval"),
        job=read.text("metrics-push-prometheus-job"),
        categories=_categories(read),
    )


def _metrics_otlp(read: SettingsReader) -> OtlpSettings | None:
    return otlp_settings(read, _categories(read)) if sends_to_opentelemetry(read) else None


def _ethstats(read: SettingsReader) -> EthstatsSettings | None:
    url, ca_file = read.text_or_none("ethstats"), read.path("ethstats-cacert-file")
    if url is None:
        return None
    try:
        settings = parse_ethstats_url(url, read.text_or_none("ethstats-contact") or "", ca_file)
        # The file is read now, so that a wrong one ends the start.
        tls_context(ca_file)
    except EthstatsUrlError as error:
        raise UsageError(f"--ethstats: {error}") from None
    except EthstatsCertificateError as error:
        raise UsageError(f"Invalid value for option '--ethstats-cacert-file': {error}") from None
    return settings


def _categories(read: SettingsReader) -> frozenset[MetricCategory]:
    names = read.items("metrics-category")
    unknown = [name for name in names if name not in MetricCategory.__members__]
    if unknown:
        raise UsageError(f"Invalid value for option '--metrics-category': Unknown category: {', '.join(unknown)}")
    return frozenset(MetricCategory[name] for name in names) if names else DEFAULT_CATEGORIES


# -- transactions and blocks ---------------------------------------------------------------------------------------


def _pool(read: SettingsReader, spec: ChainSpec) -> PoolSettings:
    # On a network without prices a replacement cannot outbid anything. So it needs no bump there, as in Besu (see
    # `find_notices`).
    floor = read.number("min-gas-price")
    return PoolSettings(
        # A pool for no transactions could not hold even this node's own.
        max_size=max(1, read.number("tx-pool-max-size")),
        sender_share=read.real("tx-pool-limit-by-account-percentage"),
        retention_hours=read.number("tx-pool-retention-hours"),
        price_bump=0 if floor == 0 or spec.zero_base_fee else read.number("tx-pool-price-bump"),
        # The pool never asks for more than the block does: otherwise it would refuse transactions that belong in the
        # next block.
        min_gas_price=min(floor, read.number("tx-pool-min-gas-price")),
        block_min_gas_price=floor,
        min_priority_fee=read.number("min-priority-fee"),
        fee_cap=read.number("rpc-tx-feecap"),
        local_priority=not read.flag("tx-pool-no-local-priority"),
        priority_senders=frozenset(_sender(text) for text in read.items("tx-pool-priority-senders")),
        strict_replay_protection=read.flag("strict-tx-replay-protection-enabled"),
        layered=pool_kind(read) == "LAYERED",
        max_transaction_bytes=_max_transaction_bytes(read),
    )


def _max_transaction_bytes(read: SettingsReader) -> int:
    value = read.number("tx-pool-max-transaction-bytes")
    # A longer transaction fits no block that this node builds. It would stay in the pool until it expires.
    if not 0 < value <= MAX_BLOCK_BYTES:
        raise UsageError(
            f"Invalid value for option '--tx-pool-max-transaction-bytes': 1 to {MAX_BLOCK_BYTES} bytes were expected"
        )
    return value


def _sender(text: str) -> bytes:
    try:
        return address_from_hex(text)
    except ValueError as error:
        raise UsageError(f"Invalid value for option '--tx-pool-priority-senders': {error}") from None


def _mining(read: SettingsReader) -> MiningSettings:
    return MiningSettings(
        vanity=from_hex(read.text("miner-extra-data")),
        gas_limit_target=read.number("target-gas-limit") if read.is_set("target-gas-limit") else None,
        min_occupancy_ratio=read.real("min-block-occupancy-ratio"),
        selection_share=read.number("Xpoa-block-txs-selection-max-time") / 100,
    )
