"""Options that Besu 24.1 does not have: of releases from 21.7.4 to 23.10, and of later ones up to 25.5.

`tools/compare_options.py` finds the names that are missing here.
"""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind


def _ignored(text: str, names: dict[str, OptionKind]) -> tuple[Option, ...]:
    return tuple(Option(name, kind, "", text, OptionBehaviour.IGNORED, hidden=True) for name, kind in names.items())


_EARLIER = _ignored(
    "Gone from Besu before 24.1",
    {
        "Xeth-65-enabled": OptionKind.BOOL,
        "privacy-precompiled-address": OptionKind.INT,
        "tx-pool-hashes-max-size": OptionKind.INT,
        "tx-pool-future-max-by-account": OptionKind.INT,
        "Xdata-storage-format": OptionKind.STRING,
        "Xlauncher": OptionKind.BOOL,
        "Xlauncher-force": OptionKind.BOOL,
        "goquorum-compatibility-enabled": OptionKind.BOOL,
        "Xmerge-support": OptionKind.BOOL,
        "engine-rpc-ws-port": OptionKind.INT,
        "Xlayered-tx-pool": OptionKind.BOOL,
        "Xlayered-tx-pool-layer-max-capacity": OptionKind.LONG,
        "Xlayered-tx-pool-max-prioritized": OptionKind.INT,
        "Xlayered-tx-pool-max-future-by-sender": OptionKind.INT,
        "Xbonsai-maximum-back-layers-to-load": OptionKind.LONG,
        "Xbonsai-use-snapshots": OptionKind.BOOL,
        "Xplugin-rocksdb-max-background-compactions": OptionKind.INT,
    },
)

_LATER = _ignored(
    "Of Besu after 24.1",
    {
        "sync-min-peers": OptionKind.INT,
        "receipt-compaction-enabled": OptionKind.BOOL,
        "poa-discovery-retry-bootnodes": OptionKind.BOOL,
        "tx-pool-min-score": OptionKind.INT,
        "tx-pool-blob-price-bump": OptionKind.PERCENT,
        "tx-pool-max-prioritized-by-type": OptionKind.LIST,
        "version-compatibility-protection": OptionKind.BOOL,
        "genesis-state-hash-cache-enabled": OptionKind.BOOL,
        "cache-precompiles": OptionKind.BOOL,
        "plugins": OptionKind.LIST,
        "plugin-continue-on-error": OptionKind.BOOL,
        "Xplugins-external-enabled": OptionKind.BOOL,
        "Xin-process-rpc-enabled": OptionKind.BOOL,
        "Xpeertask-system-enabled": OptionKind.BOOL,
        "Xmax-tracked-seen-txs-per-peer": OptionKind.INT,
        "Xpeer-tracker-forget-evicted-txs": OptionKind.BOOL,
        "Xchain-pruning-blocks-retained-limit": OptionKind.LONG,
        "Xbonsai-code-using-code-hash-enabled": OptionKind.BOOL,
        "Xbonsai-full-flat-db-enabled": OptionKind.BOOL,
        "Xbonsai-parallel-tx-processing-enabled": OptionKind.BOOL,
        "Xsnapsync-bft-enabled": OptionKind.BOOL,
        "Xsnapsync-server-enabled": OptionKind.BOOL,
        "Xsnapsync-synchronizer-pre-merge-headers-only-enabled": OptionKind.BOOL,
        "Xsnapsync-synchronizer-transaction-indexing-enabled": OptionKind.BOOL,
        "Xsynchronizer-downloader-checkpoint-RETRIES": OptionKind.INT,
    },
)

_PROTECTIONS = (
    Option("net-restrict", OptionKind.LIST, "", "Restricting peers to subnets", OptionBehaviour.REFUSED, hidden=True),
    Option(
        "privacy-nonce-always-increments",
        OptionKind.BOOL,
        "",
        "Private nonces that count failed transactions: members without it get other private states",
        OptionBehaviour.REFUSED,
        hidden=True,
    ),
    Option(
        "Xqbft-enable-early-round-change",
        OptionKind.BOOL,
        "",
        "QBFT follows f+1 round changes before its own timer; this node always does",
        OptionBehaviour.IGNORED,
        hidden=True,
    ),
)

_WITH_ALIASES = (
    Option(
        "bonsai-limit-trie-logs-enabled",
        OptionKind.BOOL,
        "",
        "Of Besu after 24.1",
        OptionBehaviour.IGNORED,
        aliases=("Xbonsai-limit-trie-logs-enabled",),
        hidden=True,
    ),
    Option(
        "bonsai-trie-logs-pruning-window-size",
        OptionKind.INT,
        "",
        "Of Besu after 24.1",
        OptionBehaviour.IGNORED,
        aliases=("Xbonsai-trie-logs-pruning-window-size",),
        hidden=True,
    ),
    Option(
        "Xin-process-rpc-api",
        OptionKind.LIST,
        "",
        "Of Besu after 24.1",
        OptionBehaviour.IGNORED,
        aliases=("Xin-process-rpc-apis",),
        hidden=True,
    ),
)

_HONOURED = (
    Option(
        "print-paths-and-exit",
        OptionKind.STRING,
        "",
        "Print which of data path and genesis file the named user may not use, and end",
        hidden=True,
    ),
    Option(
        "profile",
        OptionKind.ENUM,
        "",
        "A set of defaults, of Besu after 24.1; those for public networks are refused",
        hidden=True,
        values=(
            *("ENTERPRISE", "PRIVATE", "DEV", "MINIMALIST_STAKER", "STAKER"),
            *("PERFORMANCE", "PERFORMANCE_RPC", "NONE"),
        ),
    ),
)

OTHER_RELEASES_OPTIONS = (
    *_HONOURED,
    *_PROTECTIONS,
    *_WITH_ALIASES,
    *_LATER,
    *_EARLIER,
)
