"""Options that Besu 24.1 does not have: of releases from 21.7.4 to 23.10, and of later ones up to 25.5.

`tools/compare_options.py` finds the names that are missing here.
"""

from lacnode.cli.options.option import Behaviour, Kind, Option


def _ignored(text: str, names: dict[str, Kind]) -> tuple[Option, ...]:
    return tuple(Option(name, kind, "", text, Behaviour.IGNORED, hidden=True) for name, kind in names.items())


_EARLIER = _ignored(
    "Gone from Besu before 24.1",
    {
        "Xeth-65-enabled": Kind.BOOL,
        "Xethstats": Kind.STRING,
        "Xethstats-contact": Kind.STRING,
        "privacy-precompiled-address": Kind.INT,
        "tx-pool-hashes-max-size": Kind.INT,
        "tx-pool-future-max-by-account": Kind.INT,
        "Xdata-storage-format": Kind.STRING,
        "Xlauncher": Kind.BOOL,
        "Xlauncher-force": Kind.BOOL,
        "goquorum-compatibility-enabled": Kind.BOOL,
        "Xmerge-support": Kind.BOOL,
        "engine-rpc-ws-port": Kind.INT,
        "Xlayered-tx-pool": Kind.BOOL,
        "Xlayered-tx-pool-layer-max-capacity": Kind.LONG,
        "Xlayered-tx-pool-max-prioritized": Kind.INT,
        "Xlayered-tx-pool-max-future-by-sender": Kind.INT,
        "Xbonsai-maximum-back-layers-to-load": Kind.LONG,
        "Xbonsai-use-snapshots": Kind.BOOL,
        "Xplugin-rocksdb-max-background-compactions": Kind.INT,
    },
)

_LATER = _ignored(
    "Of Besu after 24.1",
    {
        "sync-min-peers": Kind.INT,
        "receipt-compaction-enabled": Kind.BOOL,
        "poa-discovery-retry-bootnodes": Kind.BOOL,
        "rpc-max-trace-filter-range": Kind.LONG,
        "tx-pool-min-score": Kind.INT,
        "tx-pool-blob-price-bump": Kind.PERCENT,
        "tx-pool-max-prioritized-by-type": Kind.LIST,
        "version-compatibility-protection": Kind.BOOL,
        "genesis-state-hash-cache-enabled": Kind.BOOL,
        "cache-precompiles": Kind.BOOL,
        "plugins": Kind.LIST,
        "plugin-continue-on-error": Kind.BOOL,
        "Xplugins-external-enabled": Kind.BOOL,
        "Xin-process-rpc-enabled": Kind.BOOL,
        "Xpeertask-system-enabled": Kind.BOOL,
        "Xmax-tracked-seen-txs-per-peer": Kind.INT,
        "Xpeer-tracker-forget-evicted-txs": Kind.BOOL,
        "Xchain-pruning-blocks-retained-limit": Kind.LONG,
        "Xbonsai-code-using-code-hash-enabled": Kind.BOOL,
        "Xbonsai-full-flat-db-enabled": Kind.BOOL,
        "Xbonsai-parallel-tx-processing-enabled": Kind.BOOL,
        "Xsnapsync-bft-enabled": Kind.BOOL,
        "Xsnapsync-server-enabled": Kind.BOOL,
        "Xsnapsync-synchronizer-pre-merge-headers-only-enabled": Kind.BOOL,
        "Xsnapsync-synchronizer-transaction-indexing-enabled": Kind.BOOL,
        "Xsynchronizer-downloader-checkpoint-RETRIES": Kind.INT,
    },
)

_WEBSOCKET_TLS = _ignored(
    "TLS of the WebSocket",
    {
        "rpc-ws-ssl-keystore-file": Kind.PATH,
        "rpc-ws-ssl-keystore-password": Kind.STRING,
        "rpc-ws-ssl-keystore-password-file": Kind.PATH,
        "rpc-ws-ssl-keystore-type": Kind.STRING,
        "rpc-ws-ssl-key-file": Kind.PATH,
        "rpc-ws-ssl-cert-file": Kind.PATH,
        "rpc-ws-ssl-truststore-file": Kind.PATH,
        "rpc-ws-ssl-truststore-password": Kind.STRING,
        "rpc-ws-ssl-truststore-password-file": Kind.PATH,
        "rpc-ws-ssl-truststore-type": Kind.STRING,
        "rpc-ws-ssl-trustcert-file": Kind.PATH,
    },
)

_TLS_FILES = _ignored(
    "TLS of the HTTP ports",
    {
        "rpc-http-tls-truststore-file": Kind.PATH,
        "rpc-http-tls-truststore-password-file": Kind.PATH,
        "graphql-tls-keystore-file": Kind.PATH,
        "graphql-tls-keystore-password-file": Kind.PATH,
        "graphql-tls-truststore-file": Kind.PATH,
        "graphql-tls-truststore-password-file": Kind.PATH,
    },
)

_PROTECTIONS = (
    Option("rpc-ws-ssl-enabled", Kind.BOOL, "", "TLS of the WebSocket", Behaviour.REFUSED, hidden=True),
    Option(
        "rpc-ws-ssl-client-auth-enabled",
        Kind.BOOL,
        "",
        "Certificates of WebSocket clients",
        Behaviour.REFUSED,
        hidden=True,
    ),
    Option("graphql-tls-enabled", Kind.BOOL, "", "TLS of GraphQL", Behaviour.REFUSED, hidden=True),
    Option("graphql-mtls-enabled", Kind.BOOL, "", "Certificates of GraphQL clients", Behaviour.REFUSED, hidden=True),
    Option("net-restrict", Kind.LIST, "", "Restricting peers to subnets", Behaviour.REFUSED, hidden=True),
    Option(
        "privacy-nonce-always-increments",
        Kind.BOOL,
        "",
        "Private nonces that count failed transactions: members without it get other private states",
        Behaviour.REFUSED,
        hidden=True,
    ),
    Option(
        "Xqbft-enable-early-round-change",
        Kind.BOOL,
        "",
        "Of QBFT; this node runs IBFT 2.0",
        Behaviour.IGNORED,
        hidden=True,
    ),
)

_WITH_ALIASES = (
    Option(
        "bonsai-limit-trie-logs-enabled",
        Kind.BOOL,
        "",
        "Of Besu after 24.1",
        Behaviour.IGNORED,
        aliases=("Xbonsai-limit-trie-logs-enabled",),
        hidden=True,
    ),
    Option(
        "bonsai-trie-logs-pruning-window-size",
        Kind.INT,
        "",
        "Of Besu after 24.1",
        Behaviour.IGNORED,
        aliases=("Xbonsai-trie-logs-pruning-window-size",),
        hidden=True,
    ),
    Option(
        "Xin-process-rpc-api",
        Kind.LIST,
        "",
        "Of Besu after 24.1",
        Behaviour.IGNORED,
        aliases=("Xin-process-rpc-apis",),
        hidden=True,
    ),
)

_HONOURED = (
    Option(
        "print-paths-and-exit",
        Kind.STRING,
        "",
        "Print which of data path and genesis file the named user may not use, and end",
        hidden=True,
    ),
    Option(
        "profile",
        Kind.ENUM,
        "",
        "A set of defaults, of Besu after 24.1; those for public networks are refused",
        hidden=True,
        values=(
            *("ENTERPRISE", "PRIVATE", "DEV", "MINIMALIST_STAKER", "STAKER"),
            *("PERFORMANCE", "PERFORMANCE_RPC"),
        ),
    ),
)

OTHER_RELEASES_OPTIONS = (
    *_HONOURED,
    *_PROTECTIONS,
    *_WITH_ALIASES,
    *_LATER,
    *_WEBSOCKET_TLS,
    *_TLS_FILES,
    *_EARLIER,
)
