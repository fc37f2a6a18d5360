"""From settings to a `NodeConfig`: Besu's rules between options, its warnings and its refusals.

A node that is asked for something this release does not have refuses to start: it never runs with a protection silently
off.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from lacnode.cli.errors import UsageError
from lacnode.cli.options import OPTIONS
from lacnode.cli.options.option import Behaviour
from lacnode.cli.sources import Settings
from lacnode.node.config import MiningSettings, NodeConfig, P2pSettings
from lacnode.p2p.wire.enode import Enode, EnodeError, parse_static_nodes
from lacnode.rpc.registry import GROUPS
from lacnode.rpc.settings import DEFAULT_GROUPS, ApiSettings, HttpSettings, WebSocketSettings
from lacnode.txpool.settings import PoolSettings

LEGACY_POOL_KEYS = ("tx-pool-max-size", "tx-pool-retention-hours", "tx-pool-limit-by-account-percentage")
DEPENDENT = {
    "rpc-http-enabled": "rpc-http-",
    "rpc-ws-enabled": "rpc-ws-",
    "graphql-http-enabled": "graphql-http-",
    "metrics-enabled": "metrics-",
    "privacy-enabled": "privacy-",
}
PRIVACY_GROUPS, UNBUILT_GROUPS = (
    ("EEA", "PRIV"),
    ("DEBUG", "TRACE", "PERM", "MINER", "PLUGINS", "CLIQUE", "QBFT", "ENGINE"),
)


class _Reader:
    """Typed access to settings with defaults."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.settings.values.get(name, default))

    def number(self, name: str, default: int) -> int:
        return cast(int, self.settings.values.get(name, default))

    def real(self, name: str, default: float) -> float:
        return float(cast(float, self.settings.values.get(name, default)))

    def text(self, name: str, default: str) -> str:
        return cast(str, self.settings.values.get(name, default))

    def optional(self, name: str) -> str | None:
        return cast("str | None", self.settings.values.get(name))

    def path(self, name: str) -> Path | None:
        text = self.optional(name)
        return None if text is None else Path(text)

    def items(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        return cast("tuple[str, ...]", self.settings.values.get(name, default))


def node_config(settings: Settings) -> NodeConfig:
    """The configuration that `settings` mean; UsageError for what cannot be, or is not built yet."""
    read = _Reader(settings)
    _refuse_unbuilt(settings)
    _check_ports(read)
    genesis = read.path("genesis-file")
    if genesis is not None and settings.is_set("network"):
        raise UsageError(
            "--network option and --genesis-file option can't be used at the same time.  "
            "Please refer to CLI reference for more details about this constraint."
        )
    if genesis is None:
        raise UsageError(
            "--genesis-file is missing: this node runs IBFT 2.0 networks, which are given by their genesis"
        )
    http, websocket = _http(read), _websocket(read)
    data_path = read.path("data-path") or Path("build/data")
    return NodeConfig(
        data_path=data_path,
        genesis_file=genesis,
        key_file=read.path("node-private-key-file"),
        network_id=read.number("network-id", 0) if settings.is_set("network-id") else None,
        identity=read.optional("identity"),
        p2p=_p2p(read, data_path),
        http=http,
        websocket=websocket,
        api=_api(read),
        pool=_pool(read),
        mining=_mining(read),
        keep_revert_reasons=read.flag("revert-reason-enabled"),
        logging=read.text("logging", "INFO"),
        colour=read.flag("color-enabled") if settings.is_set("color-enabled") else None,
        pid_file=read.path("pid-path"),
        faults_file=read.path("Xnetwork-faults-file"),
        warnings=tuple(_warnings(read, [*(http.groups if http else ()), *(websocket.groups if websocket else ())])),
    )


# -- what is refused -----------------------------------------------------------------------------------------------


def _refuse_unbuilt(settings: Settings) -> None:
    for option in OPTIONS:
        value = settings.get(option.name)
        harmless = value in (None, False, "", ()) or (option.name == "security-module" and value == "localfile")
        if option.behaviour is Behaviour.REFUSED and not harmless:
            raise UsageError(
                f"--{option.name} asks for something this release of lacnode does not have yet "
                f"({option.description.lower()}); the node does not start without it"
            )


def _check_ports(read: _Reader) -> None:
    ports = [read.number("p2p-port", 30303)] if read.flag("p2p-enabled", True) else []
    if read.flag("rpc-http-enabled"):
        ports.append(read.number("rpc-http-port", 8545))
    if read.flag("rpc-ws-enabled"):
        ports.append(read.number("rpc-ws-port", 8546))
    for port in ports:
        if not 0 <= port <= 65_535:
            raise UsageError(f"Port number '{port}' is not between 0 and 65535")
        if port and ports.count(port) > 1:
            raise UsageError(
                f"Port number '{port}' has been specified multiple times. Please review the supplied configuration."
            )


# -- parts ---------------------------------------------------------------------------------------------------------


def _p2p(read: _Reader, data_path: Path) -> P2pSettings:
    percentage = read.number("remote-connections-max-percentage", 60)
    limited = read.flag("remote-connections-limit-enabled", True)
    names_allowed = read.flag("Xdns-enabled")
    return P2pSettings(
        enabled=read.flag("p2p-enabled", True),
        host=read.text("p2p-host", "127.0.0.1"),
        interface=read.text("p2p-interface", "0.0.0.0"),
        port=read.number("p2p-port", 30303),
        max_peers=read.number("max-peers", 25),
        inbound_share=percentage / 100 if limited else None,
        discovery=read.flag("discovery-enabled", True),
        bootnodes=tuple(_enode("--bootnodes", text, names_allowed) for text in read.items("bootnodes")),
        static_nodes=_static_nodes(read, data_path, names_allowed),
        banned_ids=frozenset(_node_id(text) for text in read.items("banned-node-ids")),
    )


def _enode(option: str, text: str, names_allowed: bool) -> Enode:
    try:
        return Enode.parse(text, allow_names=names_allowed)
    except EnodeError as error:
        raise UsageError(f"Invalid enode URL supplied to '{option}': {error}") from None


def _static_nodes(read: _Reader, data_path: Path, names_allowed: bool) -> tuple[Enode, ...]:
    given = read.path("static-nodes-file")
    file = given or data_path / "static-nodes.json"
    if not file.exists():
        if given is not None:
            raise UsageError(f"Static nodes file {given} does not exist")
        return ()
    try:
        return parse_static_nodes(file.read_text("utf-8"), allow_names=names_allowed)
    except (OSError, UnicodeDecodeError, EnodeError) as error:
        raise UsageError(f"Static nodes file {file}: {error}") from None


def _node_id(text: str) -> bytes:
    digits = text.removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{128}", digits):
        raise UsageError(
            f"Invalid ids supplied to '--banned-node-ids'. 128 hexadecimal digits were expected: {text[:80]}"
        )
    return bytes.fromhex(digits)


def _http(read: _Reader) -> HttpSettings | None:
    groups = _groups(read, "rpc-http-api")
    hosts, origins = _hosts(read), _origins(read)
    if not read.flag("rpc-http-enabled"):
        return None
    return HttpSettings(
        host=read.text("rpc-http-host", "127.0.0.1"),
        port=read.number("rpc-http-port", 8545),
        groups=groups,
        cors_origins=origins,
        allowed_hosts=hosts,
        max_connections=read.number("rpc-http-max-active-connections", 80),
        max_batch=read.number("rpc-http-max-batch-size", 1024),
        max_body=read.number("rpc-http-max-request-content-length", 5_242_880),
        timeout=float(read.number("Xhttp-timeout-seconds", 300)),
        pretty=read.flag("json-pretty-print-enabled"),
    )


def _websocket(read: _Reader) -> WebSocketSettings | None:
    groups = _groups(read, "rpc-ws-api")
    if not read.flag("rpc-ws-enabled"):
        return None
    return WebSocketSettings(
        host=read.text("rpc-ws-host", "127.0.0.1"),
        port=read.number("rpc-ws-port", 8546),
        groups=groups,
        allowed_hosts=_hosts(read),
        max_connections=read.number("rpc-ws-max-active-connections", 80),
        max_frame=read.number("rpc-ws-max-frame-size", 1_048_576),
        timeout=float(read.number("Xws-timeout-seconds", 300)),
    )


def _groups(read: _Reader, name: str) -> tuple[str, ...]:
    groups = read.items(name, DEFAULT_GROUPS)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise UsageError(f"Invalid value for option '--{name}': invalid entries found {_listed(unknown)}")
    return groups


def _hosts(read: _Reader) -> tuple[str, ...]:
    """The old name's values join the new one's, and drop its default."""
    if read.settings.is_set("host-whitelist"):
        hosts = (*read.items("host-allowlist"), *read.items("host-whitelist"))
    else:
        hosts = read.items("host-allowlist", ("localhost", "127.0.0.1"))
    _check_names("Hostname", "hostnames", hosts)
    return () if hosts == ("none",) else hosts


def _origins(read: _Reader) -> tuple[str, ...]:
    origins = read.items("rpc-http-cors-origins")
    _check_names("Domain", "domains", origins)
    for origin in origins:
        if origin not in ("*", "all", "none"):
            try:
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


def _api(read: _Reader) -> ApiSettings:
    return ApiSettings(
        max_logs_range=read.number("rpc-max-logs-range", 5000),
        gas_cap=read.number("rpc-gas-cap", 0),
        gas_price_blocks=read.number("api-gas-price-blocks", 100),
        gas_price_percentile=read.real("api-gas-price-percentile", 50.0),
        gas_price_max=read.number("api-gas-price-max", 500_000_000_000),
        min_gas_price=read.number("min-gas-price", 1000),
    )


def _pool(read: _Reader) -> PoolSettings:
    """LACChain's files were written when the sequenced pool was the default: its keys alone choose it."""
    legacy = [name for name in LEGACY_POOL_KEYS if read.settings.is_set(name)]
    kind = read.text("tx-pool", "SEQUENCED" if legacy else "LAYERED")
    if kind == "LAYERED" and legacy:
        names = " and ".join(f"--{name}" for name in legacy)
        raise UsageError(
            f"Could not use legacy or sequenced transaction pool options with layered implementation [{names}]"
        )
    block_floor = read.number("min-gas-price", 1000)
    pool_floor = read.number("tx-pool-min-gas-price", min(1000, block_floor))
    if pool_floor > block_floor:
        raise UsageError("tx-pool-min-gas-price cannot be greater than the value of min-gas-price")
    return PoolSettings(
        max_size=max(1, read.number("tx-pool-max-size", 4096)),
        sender_share=read.real("tx-pool-limit-by-account-percentage", 0.001),
        retention_hours=read.number("tx-pool-retention-hours", 13),
        price_bump=0 if block_floor == 0 else read.number("tx-pool-price-bump", 10),
        min_gas_price=pool_floor,
        block_min_gas_price=block_floor,
        min_priority_fee=read.number("min-priority-fee", 0),
        fee_cap=read.number("rpc-tx-feecap", 10**18),
        local_priority=not read.flag("tx-pool-no-local-priority"),
        priority_senders=frozenset(_sender(text) for text in read.items("tx-pool-priority-senders")),
        strict_replay_protection=read.flag("strict-tx-replay-protection-enabled"),
        layered=kind == "LAYERED",
    )


def _sender(text: str) -> bytes:
    digits = text.removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{40}", digits):
        raise UsageError(f"Invalid value for option '--tx-pool-priority-senders': '{text[:80]}' is not an address")
    return bytes.fromhex(digits)


def _mining(read: _Reader) -> MiningSettings:
    return MiningSettings(
        vanity=bytes.fromhex(read.text("miner-extra-data", "").removeprefix("0x")),
        gas_limit_target=read.number("target-gas-limit", 0) if read.settings.is_set("target-gas-limit") else None,
        min_occupancy_ratio=read.real("min-block-occupancy-ratio", 0.8),
        selection_share=read.number("Xpoa-block-txs-selection-max-time", 75) / 100,
    )


# -- warnings ------------------------------------------------------------------------------------------------------


def _warnings(read: _Reader, groups: list[str]) -> Iterable[str]:
    settings = read.settings
    ignored = [
        option.name for option in OPTIONS if option.behaviour is Behaviour.IGNORED and settings.is_set(option.name)
    ]
    dependent = set()
    for switch, prefix in DEPENDENT.items():
        names = [name for name in settings.values if name.startswith(prefix) and not name.endswith("-enabled")]
        if names and not read.flag(switch):
            dependent.update(names)
            yield f"{_joined(names)} has been ignored because --{switch} was not defined on the command line."
    ignored = [name for name in ignored if name not in dependent and not name.startswith("permissions-")]
    if ignored:
        yield f"accepted, no effect in lacnode: {_joined(ignored)}"
    for kind, what in (("nodes", "Node"), ("accounts", "Account")):
        address = read.optional(f"permissions-{kind}-contract-address")
        if address is not None:
            yield (
                f"{what} permissioning smart contract address set {address} "
                f"but smart contract {what.lower()} permissioning is disabled."
            )
    if settings.is_set("sync-mode") and read.text("sync-mode", "FULL") != "FULL":
        yield "sync-mode: IBFT 2.0 networks are synchronised in full"
    if read.flag("discovery-enabled", True) is False and settings.is_set("bootnodes"):
        yield "Discovery disabled: bootnodes will be ignored."
    if any(group in groups for group in PRIVACY_GROUPS):
        yield "Privacy is disabled. Cannot use EEA/PRIV API methods when not using Privacy."
    unbuilt = sorted({group for group in groups if group in UNBUILT_GROUPS})
    if unbuilt:
        yield f"API groups without methods in this release: {', '.join(unbuilt)}"


def _joined(names: Iterable[str]) -> str:
    *first, last = [f"--{name}" for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(names) + "]"
