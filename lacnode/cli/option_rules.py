"""The rules between options, and the options that this release does not have yet.

The texts are Besu's, since operators search for them. A node that is asked for something it does not have refuses to
start: it never runs with a protection silently off.
"""

import re
from collections.abc import Iterable, Iterator

from lacnode.chainspec.spec import ChainSpec
from lacnode.cli.errors import UsageError
from lacnode.cli.options import OPTIONS
from lacnode.cli.options.option import OptionBehaviour, OptionKind
from lacnode.cli.settings_reader import SettingsReader
from lacnode.cli.tls_options import find_broken_tls_rules
from lacnode.rpc.method_registry import KNOWN_METHODS

_SEE = "Please refer to CLI reference for more details about this constraint."
# A negative number means "no limit" for the first, and is a score for the second.
_MAY_BE_NEGATIVE = frozenset(("rpc-http-max-batch-size", "tx-pool-min-score"))

SEQUENCED_ONLY = ("tx-pool-max-size", "tx-pool-retention-hours", "tx-pool-limit-by-account-percentage")
LAYERED_ONLY = ("tx-pool-layer-max-capacity", "tx-pool-max-prioritized", "tx-pool-max-future-by-sender")
PRIVACY_TLS_FILES = tuple(f"privacy-tls-{what}-file" for what in ("keystore", "keystore-password", "known-enclave"))


_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
"""A host name, or an address of either kind."""

NO_GENESIS = "--genesis-file is missing: this node runs IBFT 2.0 and QBFT networks, which are given by their genesis"


def check_rules(read: SettingsReader) -> None:
    """Raise UsageError with the first rule that the settings break. Options that are not built yet come last."""
    for text in find_broken_rules(read):
        raise UsageError(text)


def find_broken_rules(read: SettingsReader) -> Iterator[str]:
    """Yield one sentence for each rule that the settings break. A missing `--genesis-file` breaks one. If options are
    asked for that are not built yet, the last sentence names them."""
    for rules in (_chain, _ranges, _ports, _access, _permissions, _pool, _observation, _privacy, _unbuilt):
        yield from rules(read)


def check_against_chain(read: SettingsReader, spec: ChainSpec) -> None:
    """Raise UsageError for a setting that no node of the chain `spec` can have."""
    if spec.zero_base_fee and read.is_set("tx-pool-price-bump"):
        raise UsageError("Price bump option is not compatible with zero base fee market [--tx-pool-price-bump]")


def pool_kind(read: SettingsReader) -> str:
    """Return the kind of the transaction pool, a value of `--tx-pool` in capitals (`LAYERED`, `SEQUENCED` or `LEGACY`).
    Without `--tx-pool` it is `SEQUENCED` if an option of `SEQUENCED_ONLY` is set, as LACChain's files expect, and the
    default of the table if none is."""
    if not read.is_set("tx-pool") and _set(read, SEQUENCED_ONLY):
        return "SEQUENCED"
    return read.text("tx-pool")


def join_option_names(names: Iterable[str]) -> str:
    """Return the option names, at least one, as Besu lists them: with dashes, and "and" before the last."""
    *first, last = [f"--{name}" for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def _set(read: SettingsReader, names: Iterable[str]) -> list[str]:
    return [name for name in names if read.is_set(name)]


def _chain(read: SettingsReader) -> Iterator[str]:
    if read.is_set("network") and read.is_set("genesis-file"):
        yield f"--network option and --genesis-file option can't be used at the same time.  {_SEE}"
    if not read.is_set("genesis-file"):
        yield NO_GENESIS
    if read.is_set("fast-sync-min-peers") and (read.text_or_none("sync-mode") or "FULL") == "FULL":
        yield "--fast-sync-min-peers can't be used with FULL sync-mode [--fast-sync-min-peers]"
    if read.is_set("Xblock-txs-selection-max-time"):
        yield (
            "--Xblock-txs-selection-max-time can't be used with PoA networks, "
            "see Xpoa-block-txs-selection-max-time instead [--Xblock-txs-selection-max-time]"
        )


def _ranges(read: SettingsReader) -> Iterator[str]:
    for option in OPTIONS:
        # Java's types allow negative numbers, so `option_values` accepts them. They have no meaning for these options.
        value = read.settings.get(option.name)
        negative = isinstance(value, int | float) and value < 0
        if (
            negative
            and option.kind in (OptionKind.INT, OptionKind.LONG, OptionKind.DOUBLE)
            and option.name not in _MAY_BE_NEGATIVE
        ):
            yield f"Invalid value for option '--{option.name}': {value} is negative"
    # Zero is refused too: a call without time never gives a result.
    if read.number("rpc-call-timeout-seconds") < 1:
        yield "Invalid value for option '--rpc-call-timeout-seconds': a number from 1 was expected, not 0"
    for name, highest in (
        ("min-block-occupancy-ratio", 1),
        ("api-gas-price-percentile", 100),
        ("estimate-gas-tolerance-ratio", 1),
    ):
        if read.real(name) > highest:
            yield f"Invalid value for option '--{name}': a number from 0 to {highest} was expected, not {read.real(name)}"


def _ports(read: SettingsReader) -> Iterator[str]:
    switches = (
        ("p2p-enabled", "p2p-port"),
        ("rpc-http-enabled", "rpc-http-port"),
        ("rpc-ws-enabled", "rpc-ws-port"),
        ("graphql-http-enabled", "graphql-http-port"),
        ("metrics-enabled", "metrics-port"),
    )
    ports = [(name, read.number(name)) for switch, name in switches if read.flag(switch)]
    # Port 0 lets the system choose. Two servers may both have it.
    numbers = [port for _, port in ports if port]
    for name, port in ports:
        if port > 65_535:
            yield f"Invalid value for option '--{name}': a port from 0 to 65535 was expected, not {port}"
        if numbers.count(port) > 1:
            yield f"Port number '{port}' has been specified multiple times. Please review the supplied configuration."


def _access(read: SettingsReader) -> Iterator[str]:
    for kind, title in (("http", "HTTP"), ("ws", "WebSocket")):
        names = read.items(f"rpc-{kind}-api-method-no-auth")
        if any(name not in KNOWN_METHODS for name in names):
            yield f"Invalid value for option '--rpc-{kind}-api-methods-no-auth', options must be valid RPC methods"
        prefix = f"rpc-{kind}-authentication-"
        # Authentication without a source of identities would refuse every request.
        sources = (f"{prefix}credentials-file", f"{prefix}jwt-public-key-file")
        if read.flag(f"{prefix}enabled") and not _set(read, sources):
            yield (
                f"Unable to authenticate JSON-RPC {title} endpoint without a supplied credentials file "
                "or authentication public key file"
            )
    yield from find_broken_tls_rules(read)


def _permissions(read: SettingsReader) -> Iterator[str]:
    for kind, what in (("nodes", "node"), ("accounts", "account")):
        prefix = f"permissions-{kind}-contract-"
        if read.flag(f"{prefix}enabled") and not read.is_set(f"{prefix}address"):
            yield (
                f"No {what} permissioning contract address specified. "
                f"Cannot enable smart contract based {what} permissioning."
            )
    version = read.number("permissions-nodes-contract-version")
    if read.flag("permissions-nodes-contract-enabled") and version not in (1, 2):
        yield f"Invalid value for option '--permissions-nodes-contract-version': 1 or 2 was expected, not {version}"


def _pool(read: SettingsReader) -> Iterator[str]:
    kind = pool_kind(read)
    for own, others, foreign in (
        ("layered", "legacy or sequenced", SEQUENCED_ONLY),
        ("legacy or sequenced", "layered", LAYERED_ONLY),
    ):
        # Options of the other kind of pool would be accepted and do nothing. Besu refuses them, so a file that starts
        # here starts there.
        wrong = _set(read, foreign)
        if wrong and (kind == "LAYERED") == (own == "layered"):
            yield f"Could not use {others} transaction pool options with {own} implementation [{join_option_names(wrong)}]"
    if read.is_set("tx-pool-min-gas-price") and read.number("tx-pool-min-gas-price") > read.number("min-gas-price"):
        yield "tx-pool-min-gas-price cannot be greater than the value of min-gas-price"


def _observation(read: SettingsReader) -> Iterator[str]:
    if read.flag("metrics-enabled") and read.flag("metrics-push-enabled"):
        yield f"--metrics-enabled option and --metrics-push-enabled option can't be used at the same time.  {_SEE}"
    if read.flag("metrics-push-enabled") and not 1 <= read.number("metrics-push-port") <= 65_535:
        yield (
            "Invalid value for option '--metrics-push-port': a port from 1 to 65535 was expected, "
            f"not {read.number('metrics-push-port')}"
        )
    # The host becomes a part of a request line. Spaces or line ends in it would make another request.
    if not _HOST.fullmatch(read.text("metrics-push-host")):
        yield f"Invalid value for option '--metrics-push-host': '{read.text('metrics-push-host')[:80]}' is not a host"
    if read.number("metrics-push-interval") < 1:
        yield "Invalid value for option '--metrics-push-interval': a number of seconds from 1 was expected, not 0"
    if read.is_set("ethstats-contact") and not read.is_set("ethstats"):
        yield (
            "The `--ethstats-contact` requires ethstats server URL to be provided. Either remove --ethstats-contact "
            "or provide a URL (via --ethstats=nodename:secret@host:port)"
        )


def _privacy(read: SettingsReader) -> Iterator[str]:
    if read.flag("privacy-onchain-groups-enabled") and read.flag("privacy-flexible-groups-enabled"):
        yield (
            "--privacy-onchain-groups-enabled and --privacy-flexible-groups-enabled can't be used at the same time: "
            "the first is the old name of the second"
        )
    if not read.flag("privacy-enabled"):
        return
    if read.text_or_none("sync-mode") == "FAST":
        yield "Fast sync cannot be enabled with privacy."
    if read.flag("pruning-enabled"):
        yield "Pruning cannot be enabled with privacy."
    if read.flag("privacy-tls-enabled"):
        missing = [name for name in ("privacy-url", *PRIVACY_TLS_FILES) if not read.is_set(name)]
        if missing:
            # Besu goes on without TLS and says nothing.
            yield (
                f"--privacy-tls-enabled needs {join_option_names(missing)} too: nothing is sent to "
                "a transaction manager in the clear"
            )
    # With tenants, each request brings its own key. Without them the node has one, which must be known at the
    # start.
    has_key = read.is_set("privacy-public-key-file")
    if read.flag("privacy-multi-tenancy-enabled"):
        if not read.flag("rpc-http-authentication-enabled") and not read.flag("rpc-ws-authentication-enabled"):
            yield (
                "Privacy multi-tenancy requires either http authentication to be enabled "
                "or WebSocket authentication to be enabled"
            )
        if has_key:
            yield "Privacy multi-tenancy and privacy public key cannot be used together"
    elif not has_key:
        yield "Please specify Enclave public key file path to enable privacy"
    # A marker transaction from a random account has no funds, and gas has a price here: no marker would ever get
    # into a block.
    if read.number("min-gas-price") > 0 and not read.is_set("privacy-marker-transaction-signing-key-file"):
        yield (
            "Not a free gas network. --privacy-marker-transaction-signing-key-file must be specified and must be a funded "
            "account. Private transactions cannot be signed by random (non-funded) accounts in paid gas networks"
        )


def _unbuilt(read: SettingsReader) -> Iterator[str]:
    asked = [
        option
        for option in OPTIONS
        if option.behaviour is OptionBehaviour.REFUSED
        # A file may switch off something that is not built: that is no request for it.
        and read.settings.get(option.name) not in (None, False, "", ())
        and (option.name, read.settings.get(option.name)) != ("security-module", "localfile")
    ]
    if asked:
        named = ", ".join(f"--{option.name} ({option.description})" for option in asked)
        verb = "asks" if len(asked) == 1 else "ask"
        yield f"{named} {verb} for something this release of lacnode does not have yet; the node does not start without it"
