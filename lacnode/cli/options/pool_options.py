"""The transaction pool."""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

POOL_OPTIONS = (
    Option(
        "tx-pool",
        OptionKind.ENUM,
        "LAYERED",
        "LAYERED, SEQUENCED, LEGACY (case-insensitive)",
        values=(
            "LAYERED",
            "SEQUENCED",
            "LEGACY",
        ),
    ),
    Option("tx-pool-max-size", OptionKind.INT, "4096", "Sequenced/legacy: max transactions"),
    Option("tx-pool-retention-hours", OptionKind.INT, "13", "Sequenced/legacy: age limit"),
    Option(
        "tx-pool-limit-by-account-percentage",
        OptionKind.FRACTION,
        "0.001",
        "Sequenced/legacy: nonce distance = ceil(fraction*size)",
    ),
    Option(
        "tx-pool-layer-max-capacity", OptionKind.LONG, "12500000", "Layered: bytes per layer", OptionBehaviour.IGNORED
    ),
    Option("tx-pool-max-prioritized", OptionKind.INT, "2000", "Layered: txs in first layer", OptionBehaviour.IGNORED),
    Option(
        "tx-pool-max-future-by-sender", OptionKind.INT, "200", "Layered: future txs per sender", OptionBehaviour.IGNORED
    ),
    Option(
        "tx-pool-max-transaction-bytes",
        OptionKind.INT,
        "262144",
        "Longest transaction that is pooled; blocks may have longer ones. lacnode's own option",
    ),
    Option("tx-pool-price-bump", OptionKind.PERCENT, "10", "Replacement bump; 0 forced on free gas"),
    Option("tx-pool-min-gas-price", OptionKind.WEI, "1000", "Lowest price accepted for non-priority txs"),
    Option(
        "tx-pool-no-local-priority",
        OptionKind.BOOL,
        "false",
        "Local txs get no priority",
        aliases=("tx-pool-disable-locals",),
    ),
    Option("tx-pool-priority-senders", OptionKind.LIST, "", "Senders treated as priority"),
    Option(
        "tx-pool-enable-save-restore",
        OptionKind.BOOL,
        "false",
        "Save pool at stop, load at start",
        OptionBehaviour.REFUSED,
    ),
    Option(
        "tx-pool-save-file",
        OptionKind.PATH,
        "txpool.dump (in data path)",
        "File for the above",
        OptionBehaviour.IGNORED,
    ),
    Option("strict-tx-replay-protection-enabled", OptionKind.BOOL, "false", "Refuse local txs without chain id"),
)
