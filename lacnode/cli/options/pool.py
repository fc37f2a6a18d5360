"""The transaction pool."""

from lacnode.cli.options.option import Behaviour, Kind, Option

POOL_OPTIONS = (
    Option(
        "tx-pool",
        Kind.ENUM,
        "LAYERED",
        "LAYERED, SEQUENCED, LEGACY (case-insensitive)",
        values=(
            "LAYERED",
            "SEQUENCED",
            "LEGACY",
        ),
    ),
    Option("tx-pool-max-size", Kind.INT, "4096", "Sequenced/legacy: max transactions"),
    Option("tx-pool-retention-hours", Kind.INT, "13", "Sequenced/legacy: age limit"),
    Option(
        "tx-pool-limit-by-account-percentage",
        Kind.FRACTION,
        "0.001",
        "Sequenced/legacy: nonce distance = ceil(fraction*size)",
    ),
    Option("tx-pool-layer-max-capacity", Kind.LONG, "12500000", "Layered: bytes per layer", Behaviour.IGNORED),
    Option("tx-pool-max-prioritized", Kind.INT, "2000", "Layered: txs in first layer", Behaviour.IGNORED),
    Option("tx-pool-max-future-by-sender", Kind.INT, "200", "Layered: future txs per sender", Behaviour.IGNORED),
    Option("tx-pool-price-bump", Kind.PERCENT, "10", "Replacement bump; 0 forced on free gas"),
    Option("tx-pool-min-gas-price", Kind.WEI, "1000", "Lowest price accepted for non-priority txs"),
    Option(
        "tx-pool-no-local-priority",
        Kind.BOOL,
        "false",
        "Local txs get no priority",
        aliases=("tx-pool-disable-locals",),
    ),
    Option("tx-pool-priority-senders", Kind.LIST, "", "Senders treated as priority"),
    Option("tx-pool-enable-save-restore", Kind.BOOL, "false", "Save pool at stop, load at start", Behaviour.REFUSED),
    Option("tx-pool-save-file", Kind.PATH, "txpool.dump (in data path)", "File for the above", Behaviour.IGNORED),
    Option("strict-tx-replay-protection-enabled", Kind.BOOL, "false", "Refuse local txs without chain id"),
)
