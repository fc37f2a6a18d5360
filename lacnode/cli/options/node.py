"""The node itself: chain, data, logs."""

from lacnode.cli.options.option import Behaviour, Kind, Option

NODE_OPTIONS = (
    Option("config-file", Kind.PATH, "", "TOML configuration file"),
    Option("data-path", Kind.PATH, "./build/data", "Data directory (database, key, caches...)"),
    Option("genesis-file", Kind.PATH, "", "Genesis of a private network; excludes --network"),
    Option(
        "network",
        Kind.ENUM,
        "",
        "A public network; this node runs IBFT 2.0 networks, given by --genesis-file",
        Behaviour.REFUSED,
        values=(
            *("MAINNET", "SEPOLIA", "HOLESKY", "HOODI", "EPHEMERY", "LUKSO", "GOERLI", "RINKEBY", "ROPSTEN", "KILN"),
            *("CALAVERAS", "DEV", "FUTURE_EIPS", "EXPERIMENTAL_EIPS", "CLASSIC", "MORDOR", "KOTTI", "ECIP1049_DEV"),
            "ASTOR",
        ),
    ),
    Option(
        "network-id",
        Kind.BIGINT,
        "genesis chainId (1 if absent), or the network's",
        "P2P network id; may be quoted in TOML",
    ),
    Option(
        "node-role",
        Kind.ENUM,
        "",
        "What this node is to do: lacnode's own option; without it, whatever the validator set says",
        values=("VALIDATOR", "BOOT", "WRITER", "OBSERVER"),
    ),
    Option(
        "reset-signing-state",
        Kind.BOOL,
        "false",
        "For one start, on the command line only: sign although consensus.log is not whole. The validator may contradict "
        "what it signed before. lacnode's own option",
    ),
    Option("identity", Kind.STRING, "", "Inserted in the client version as second path element"),
    Option("node-private-key-file", Kind.PATH, "<data-path>/key", "Node key; created when missing"),
    Option(
        "security-module", Kind.STRING, "localfile", "Node key provider (plugins may add others)", Behaviour.REFUSED
    ),
    Option("static-nodes-file", Kind.PATH, "<data-path>/static-nodes.json", "JSON array of enode URLs"),
    Option(
        "sync-mode",
        Kind.ENUM,
        "FULL",
        "How to catch up; every mode does what FULL does",
        values=(
            "FULL",
            "FAST",
            "SNAP",
            "CHECKPOINT",
            "X_SNAP",
            "X_CHECKPOINT",
        ),
    ),
    Option(
        "fast-sync-min-peers", Kind.INT, "5", "Peers needed before FAST sync starts; fails with FULL", Behaviour.IGNORED
    ),
    Option(
        "required-blocks", Kind.LIST, "", "Peers must have these blocks", Behaviour.REFUSED, aliases=("required-block",)
    ),
    Option("reorg-logging-threshold", Kind.LONG, "6", "Log reorgs deeper than this", Behaviour.IGNORED),
    Option(
        "data-storage-format",
        Kind.ENUM,
        "FOREST",
        "FOREST (archive trie) or BONSAI",
        Behaviour.IGNORED,
        values=(
            "FOREST",
            "BONSAI",
        ),
    ),
    Option(
        "bonsai-historical-block-limit",
        Kind.LONG,
        "512",
        "How far back Bonsai can rebuild state",
        Behaviour.IGNORED,
        aliases=("bonsai-maximum-back-layers-to-load",),
    ),
    Option("key-value-storage", Kind.STRING, "rocksdb", "Storage plugin name", Behaviour.IGNORED),
    Option(
        "pruning-enabled",
        Kind.BOOL,
        "false",
        "Forest pruning (deprecated, removed later); conflicts with privacy",
        Behaviour.IGNORED,
    ),
    Option("pruning-blocks-retained", Kind.INT, "1024", "Pruned states kept", Behaviour.IGNORED),
    Option("pruning-block-confirmations", Kind.INT, "10", "Confirmations before a mark", Behaviour.IGNORED),
    Option("cache-last-blocks", Kind.INT, "0", "Blocks kept in memory cache", Behaviour.IGNORED),
    Option("auto-log-bloom-caching-enabled", Kind.BOOL, "true", "Maintain log bloom cache files", Behaviour.IGNORED),
    Option("revert-reason-enabled", Kind.BOOL, "false", "Store revert data in receipts"),
    Option("kzg-trusted-setup", Kind.PATH, "built in", "Blob trusted setup; only on blob networks", Behaviour.IGNORED),
    Option("pid-path", Kind.PATH, "", "Write process id here, removed at exit"),
    Option(
        "override-genesis-config",
        Kind.LIST,
        "",
        "override genesis config values (case-insensitive keys)",
        Behaviour.REFUSED,
        hidden=True,
    ),
    Option(
        "compatibility-eth64-forkid-enabled", Kind.BOOL, "false", "Old eth/64 fork id computation", Behaviour.IGNORED
    ),
    Option(
        "logging",
        Kind.ENUM,
        "INFO",
        "OFF, ERROR, WARN, INFO, DEBUG, TRACE, ALL; FATAL prints a deprecation line and becomes ERROR",
        values=(
            "OFF",
            "FATAL",
            "ERROR",
            "WARN",
            "INFO",
            "DEBUG",
            "TRACE",
            "ALL",
        ),
    ),
    Option("color-enabled", Kind.BOOL, "auto (terminal)", "ANSI colours on console"),
)
