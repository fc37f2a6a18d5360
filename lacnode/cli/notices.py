"""Warnings before the node starts: settings that change nothing, or change more than they say."""

import re
from collections.abc import Iterator

from lacnode.chainspec.spec import ChainSpec
from lacnode.cli.opentelemetry_variables import otlp_settings, sends_to_opentelemetry, unusual_port_warning
from lacnode.cli.option_rules import join_option_names
from lacnode.cli.options import OPTIONS
from lacnode.cli.options.option import OptionBehaviour
from lacnode.cli.privacy_options import DEFAULT_MANAGER_URL
from lacnode.cli.settings_reader import SettingsReader

# The order matters. The authentication of HTTP comes after HTTP itself: while HTTP is off, all its options
# are listed once, under one switch.
_DEPENDENT: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "p2p-enabled",
        ("p2p-", "bootnodes", "discovery-enabled", "max-peers", "banned-node-ids", "remote-connections-max-percentage"),
    ),
    ("rpc-http-enabled", ("rpc-http-",)),
    ("rpc-http-authentication-enabled", ("rpc-http-authentication-", "rpc-http-api-method-no-auth")),
    ("rpc-http-tls-enabled", ("rpc-http-tls-",)),
    ("rpc-ws-enabled", ("rpc-ws-",)),
    ("Xrpc-ipc-enabled", ("Xrpc-ipc-",)),
    ("rpc-ws-ssl-enabled", ("rpc-ws-ssl-",)),
    ("rpc-ws-authentication-enabled", ("rpc-ws-authentication-", "rpc-ws-api-method-no-auth")),
    ("graphql-http-enabled", ("graphql-",)),
    ("graphql-tls-enabled", ("graphql-tls-", "graphql-mtls-")),
    ("metrics-push-enabled", ("metrics-push-",)),
    ("metrics-enabled", ("metrics-host", "metrics-port", "metrics-protocol", "metrics-category")),
    ("privacy-tls-enabled", ("privacy-tls-",)),
    ("privacy-enabled", ("privacy-",)),
    ("miner-stratum-enabled", ("miner-stratum-",)),
)
"""Switches, and the options (beginnings of names) that do nothing while they are off. The first switch that applies
counts."""

_PERMISSION_SWITCHES = tuple(
    f"permissions-{kind}-{source}-enabled" for kind in ("nodes", "accounts") for source in ("config-file", "contract")
)

_VARIABLE = re.compile(r"\$\{\w+\}")

# Options that say where the transaction manager is.
_MANAGER = ("privacy-url", "privacy-manager-config-file")

# Options with a sentence of their own in `_privacy`, in Besu's words. The lists leave them out.
_OWN_TEXT = frozenset(("privacy-url", "privacy-public-key-file"))
# The API group of each consensus protocol.
_PROTOCOL_GROUPS = {"ibft2": "IBFT", "qbft": "QBFT"}
# Besu's API groups that are accepted and have no methods here.
_UNBUILT_GROUPS = frozenset(("PLUGINS", "CLIQUE", "ENGINE", "GOQUORUM"))


def find_notices(read: SettingsReader, spec: ChainSpec, groups: tuple[str, ...]) -> Iterator[str]:
    """Yield one sentence for each warning that the node logs at its start: about settings that change nothing here, or
    more than they say. `groups` are the API groups that the node serves. Call it only for settings without mistakes
    (`find_mistakes`): some mistakes raise UsageError here."""
    # Options that wait for a switch are named once, so `_without_effect` leaves them out.
    waiting = _waiting(read)
    for switch, names in waiting.items():
        yield f"{join_option_names(names)} has been ignored because --{switch} was not defined on the command line."
    yield from _without_effect(read, {name for names in waiting.values() for name in names})
    yield from _permissions(read)
    yield from _opentelemetry(read)
    yield from _privacy(read)
    yield from _prices(read, spec)
    if read.text_or_none("sync-mode") not in (None, "FULL"):
        yield f"--sync-mode={read.text_or_none('sync-mode')}: BFT networks are synchronised in full"
    if not read.flag("discovery-enabled") and read.is_set("bootnodes"):
        yield "Discovery disabled: bootnodes will be ignored."
    if read.text("logging") == "FATAL":
        yield "FATAL level is deprecated, using ERROR instead"
    yield from _groups(read, spec, groups)
    yield from _variables(read)
    if read.flag("graphql-http-enabled") and any(
        read.flag(f"rpc-{kind}-authentication-enabled") for kind in ("http", "ws")
    ):
        yield "The port of GraphQL asks for no token, as in Besu: those who reach it may ask and send transactions"


def _variables(read: SettingsReader) -> Iterator[str]:
    for name, value in read.settings.values.items():
        # A compose file or a template would have replaced `${NAME}`. A variable that is still there is used as a value,
        # letter by letter.
        if found := _VARIABLE.search(",".join(value) if isinstance(value, tuple) else str(value)):
            yield f"--{name} has {found[0][:80]} in it as it stands: nothing replaces variables in options"


def _waiting(read: SettingsReader) -> dict[str, list[str]]:
    """Return, for each switch that is off, the options that wait for it."""
    found: dict[str, list[str]] = {}
    for option in OPTIONS:
        if not read.settings.get(option.name) or option.name in _OWN_TEXT:
            continue
        for switch, beginnings in _DEPENDENT:
            # A switch does not wait for itself, although its own name has the beginning.
            if _waits(read, option.name, switch, beginnings):
                found.setdefault(switch, []).append(option.name)
                break
    return found


def _waits(read: SettingsReader, name: str, switch: str, beginnings: tuple[str, ...]) -> bool:
    if name == switch or not name.startswith(beginnings) or read.flag(switch):
        return False
    # Metrics have two switches, and these options are for both of them.
    is_for_both = name in ("metrics-protocol", "metrics-category")
    if is_for_both and read.flag("metrics-push-enabled"):
        return False
    return not (name == "metrics-push-prometheus-job" and sends_to_opentelemetry(read))


def _opentelemetry(read: SettingsReader) -> Iterator[str]:
    if not sends_to_opentelemetry(read):
        return
    names = ["metrics-host", "metrics-port"]
    if read.flag("metrics-push-enabled"):
        names = ["metrics-push-host", "metrics-push-port", "metrics-push-interval"]
    if unused := [name for name in names if read.is_set(name)]:
        yield (
            f"accepted, no effect with --metrics-protocol=OPENTELEMETRY: {join_option_names(unused)}; the variables "
            "OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_METRIC_EXPORT_INTERVAL say where and how often metrics are sent"
        )
    settings = otlp_settings(read)
    if settings is not None and (text := unusual_port_warning(settings)):
        yield text


def _without_effect(read: SettingsReader, waiting: set[str]) -> Iterator[str]:
    names = [
        option.name
        for option in OPTIONS
        # Only options that an operator set to something else than the default: files often repeat defaults, and a
        # warning about each would hide the others.
        if option.behaviour is OptionBehaviour.IGNORED
        and read.is_set(option.name)
        and str(read.settings.get(option.name)).lower() != (option.default or "false").lower()
        and (option.name, read.settings.get(option.name)) != ("nat-method", "NONE")
        and option.name not in waiting | _OWN_TEXT
    ]
    if names:
        yield f"accepted, no effect in lacnode: {join_option_names(names)}"


def _permissions(read: SettingsReader) -> Iterator[str]:
    for kind, what in (("nodes", "Node"), ("accounts", "Account")):
        address = read.text_or_none(f"permissions-{kind}-contract-address")
        if address is not None and not read.flag(f"permissions-{kind}-contract-enabled"):
            yield (
                f"{what} permissioning smart contract address set {address} "
                f"but smart contract {what.lower()} permissioning is disabled."
            )
        file = read.text_or_none(f"permissions-{kind}-config-file")
        if file is not None and not read.flag(f"permissions-{kind}-config-file-enabled"):
            yield f"{what} permissioning config file set {file} but no permissions enabled"


def _privacy(read: SettingsReader) -> Iterator[str]:
    if any(read.is_set(name) for name in _OWN_TEXT) and not read.flag("privacy-enabled"):
        yield ("--privacy-url and/or --privacy-public-key-file ignored because none of --privacy-enabled was defined.")
    if read.flag("privacy-enabled") and not any(read.is_set(name) for name in _MANAGER):
        yield f"The transaction manager is expected at {DEFAULT_MANAGER_URL}, because no option says where it is"
    if read.flag("privacy-onchain-groups-enabled"):
        yield ("--privacy-onchain-groups-enabled has been deprecated, use --privacy-flexible-groups-enabled instead.")


def _prices(read: SettingsReader, spec: ChainSpec) -> Iterator[str]:
    floor = read.number("min-gas-price")
    # `_pool` in `node_config` sets the prices that these sentences are about.
    if spec.zero_base_fee:
        yield "Forcing price bump for transaction replacement to 0, since we are on a zero basefee network"
    elif floor == 0:
        yield "Forcing price bump for transaction replacement to 0, since min-gas-price is set to 0"
    if not read.is_set("tx-pool-min-gas-price") and read.number("tx-pool-min-gas-price") > floor:
        yield (f"Forcing tx-pool-min-gas-price={floor}, since it cannot be greater than the value of min-gas-price")


def _groups(read: SettingsReader, spec: ChainSpec, groups: tuple[str, ...]) -> Iterator[str]:
    if "PERM" in groups and not any(read.flag(switch) for switch in _PERMISSION_SWITCHES):
        yield "Permissions are disabled. Cannot enable PERM APIs when not using Permissions."
    if {"EEA", "PRIV"} & set(groups) and not read.flag("privacy-enabled"):
        yield "Privacy is disabled. Cannot use EEA/PRIV API methods when not using Privacy."
    # The methods of QBFT read blocks of IBFT 1, too.
    named = {"qbft" if name == "ibft1" else name for _, name in spec.protocols}
    for protocol, group in _PROTOCOL_GROUPS.items():
        if group in groups and protocol not in named:
            yield f"API group {group} has no methods on this chain: the genesis has no config.{protocol}"
    unbuilt = sorted(_UNBUILT_GROUPS & set(groups))
    if unbuilt:
        yield f"API groups without methods in this release: {', '.join(unbuilt)}"
