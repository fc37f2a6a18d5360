"""Blocks this node builds, and gas."""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

MINING_OPTIONS = (
    Option(
        "miner-enabled",
        OptionKind.BOOL,
        "false",
        "PoW mining; ignored by BFT (validators always propose)",
        OptionBehaviour.IGNORED,
    ),
    Option("miner-coinbase", OptionKind.ADDRESS, "", "PoW coinbase", OptionBehaviour.IGNORED),
    Option("miner-extra-data", OptionKind.HEX, "0x", "Vanity data; BFT: first 32 bytes of extraData"),
    Option("min-gas-price", OptionKind.WEI, "1000", "Lowest price for block inclusion; 0 on free-gas networks"),
    Option("min-priority-fee", OptionKind.WEI, "0", "Lowest priority fee for inclusion"),
    Option("min-block-occupancy-ratio", OptionKind.DOUBLE, "0.8", "Stop filling above this when next tx does not fit"),
    Option("target-gas-limit", OptionKind.LONG, "none (keep parent)", "Gas limit vote"),
    Option("miner-stratum-enabled", OptionKind.BOOL, "false", "PoW stratum", OptionBehaviour.IGNORED),
    Option("miner-stratum-host", OptionKind.STRING, "0.0.0.0", "PoW stratum", OptionBehaviour.IGNORED),
    Option("miner-stratum-port", OptionKind.INT, "8008", "PoW stratum", OptionBehaviour.IGNORED),
)
