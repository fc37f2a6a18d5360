"""Blocks this node builds, and gas."""

from lacnode.cli.options.option import Behaviour, Kind, Option

MINING_OPTIONS = (
    Option(
        "miner-enabled", Kind.BOOL, "false", "PoW mining; ignored by BFT (validators always propose)", Behaviour.IGNORED
    ),
    Option("miner-coinbase", Kind.ADDRESS, "", "PoW coinbase", Behaviour.IGNORED),
    Option("miner-extra-data", Kind.HEX, "0x", "Vanity data; BFT: first 32 bytes of extraData"),
    Option("min-gas-price", Kind.WEI, "1000", "Lowest price for block inclusion; 0 on free-gas networks"),
    Option("min-priority-fee", Kind.WEI, "0", "Lowest priority fee for inclusion"),
    Option("min-block-occupancy-ratio", Kind.DOUBLE, "0.8", "Stop filling above this when next tx does not fit"),
    Option("target-gas-limit", Kind.LONG, "none (keep parent)", "Gas limit vote"),
    Option("miner-stratum-enabled", Kind.BOOL, "false", "PoW stratum", Behaviour.IGNORED),
    Option("miner-stratum-host", Kind.STRING, "0.0.0.0", "PoW stratum", Behaviour.IGNORED),
    Option("miner-stratum-port", Kind.INT, "8008", "PoW stratum", Behaviour.IGNORED),
)
