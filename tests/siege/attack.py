"""What an attack is, what it may cost, and what was found.

Two kinds: a `LoadAttack` sends something all the time, from a process of its own, while the network is measured; an
`Exercise` does something to nodes (kills one, damages its files) and checks what follows.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from lacnode.devnet.manifest import Manifest
from lacnode.privacy.manager.quota import MAX_STORED_GROUP_BYTES, MAX_UNKNOWN_GROUP_BYTES
from tests.siege.measure import MEGABYTE, BlockTimes
from tests.siege.network import UNKNOWN_KEYS_MEGABYTES, NetworkKind, SiegeNetwork


@dataclass
class Sent:
    """What an attacking process has done, by kind: `sent.count("headers")`. `faults` are sentences about what must never
    happen, with how often it was seen."""

    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str, number: int = 1) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + number

    def fault(self, sentence: str) -> None:
        """Say that the attack has succeeded in something: the attack breaks its bound then."""
        self.faults[sentence] = self.faults.get(sentence, 0) + 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an attack may cost. None means that the value is shown and not judged.

    `ratio` compares the p95 of the block interval with the calm network's; `rounds` is the highest round of consensus
    that a block may need; `longest_periods` is for the longest wait for a block, in block periods; `call_p95_seconds` is
    for `eth_blockNumber` at every node; `blocks_waited` is for transfers.
    """

    ratio: float | None = 1.25
    rounds: int | None = None
    longest_periods: float | None = None
    call_p95_seconds: float | None = None
    blocks_waited: int | None = None
    private_ratio: float | None = None
    """Of the p95 of the seconds until a private receipt, with the calm network's."""

    disk_bytes: int | None = None
    """How far the files of a node may grow, its chain and its log included."""

    memory_bytes: int = 64 * MEGABYTE
    log_bytes_per_minute: float = MEGABYTE
    stop_seconds: float = 2.0


STRANGER = Bounds()
"""For what strangers, RPC callers and senders of transactions send."""

ONE_LOST_ROUND_PERIODS = 4.0
"""The block period, the time-out of round 0, which is two periods in a devnet, and one for the block of round 1."""

DISK_BYTES = UNKNOWN_KEYS_MEGABYTES * MEGABYTE + MAX_STORED_GROUP_BYTES + MAX_UNKNOWN_GROUP_BYTES + 128 * MEGABYTE
"""The quotas of a manager for what strangers push, and 128 MB for the chain, the private states and the files that a
database writes first."""

MEMBER = Bounds(ratio=1.1, private_ratio=2.0, disk_bytes=DISK_BYTES)
"""For what strangers do to managers, private groups and permissions.

Intervals are between the arrivals of blocks at the watch, on the monotonic clock. The timestamps of blocks are whole
seconds and could not show a tenth of a period of 1 s. A block that is late by less than half a second does not delay the
next one. So the bound allows the delays of two blocks in a row to differ by 0.1 s more than on a calm network.
"""

VALIDATOR = Bounds(ratio=None, rounds=1, longest_periods=ONE_LOST_ROUND_PERIODS)
"""For what a validator sends: one lost round."""


@dataclass(frozen=True, slots=True)
class LoadAttack:
    """`carry_out(manifest, sent)` attacks until it is cancelled. `modified` names validators that run changed code
    (`modified_validator.py`), by the name of the change. `kind` is what the attacked network has.

    `check(network)` looks at the network when the attack is over, and gives a sentence for each thing that is wrong.
    `lengthened` is for attacks that need more time than others: a multiple of the siege's seconds. An attack that
    `fills_stores` leaves no space for strangers' payloads in the managers, so the next attack gets a new network.
    """

    name: str
    about: str
    carry_out: Callable[[Manifest, Sent], Awaitable[None]]
    bounds: Bounds = STRANGER
    modified: Mapping[str, str] = field(default_factory=dict)
    kind: NetworkKind = NetworkKind.PUBLIC
    check: Callable[[SiegeNetwork], list[str]] | None = None
    lengthened: float = 1.0
    fills_stores: bool = False


@dataclass
class Findings:
    """What an exercise saw. Faults are sentences that say what broke; facts are shown in the report."""

    faults: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a load attack lasts, how often nodes are killed, how old a stale copy is, how long the chain is that is
    damaged, and how often."""

    seconds: float = 60.0
    kills: int = 200
    stale_blocks: int = 20
    chain_blocks: int = 30
    damages: int = 3
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Exercise:
    """`carry_out` does something to the network; where it `breaks_nodes` it need not leave a healthy one."""

    name: str
    about: str
    carry_out: Callable[[SiegeNetwork, Plan], Findings]
    breaks_nodes: bool = True
    kind: NetworkKind = NetworkKind.PUBLIC


@dataclass(frozen=True, slots=True)
class Cost:
    """What a load attack did to the network. Growth is the largest of any node."""

    period: float
    times: BlockTimes
    calm: BlockTimes
    call_p95_seconds: float
    blocks_waited: int
    memory_growth_bytes: int
    log_bytes_per_minute: float
    stop_seconds: float | None
    faults: tuple[str, ...] = ()
    private_ratio: float = 0.0
    disk_growth_bytes: int = 0

    @property
    def ratio(self) -> float:
        """The p95 of the block interval over the calm network's."""
        return self.times.p95 / self.calm.p95

    def broken(self, bounds: Bounds) -> list[str]:
        """One sentence for each bound that does not hold."""
        rows: tuple[tuple[str, float, float | None], ...] = (
            ("block interval p95 / calm p95", self.ratio, bounds.ratio),
            ("rounds of consensus", self.times.highest_round, bounds.rounds),
            ("longest block interval in periods", self.times.longest / self.period, bounds.longest_periods),
            ("eth_blockNumber p95 in s", self.call_p95_seconds, bounds.call_p95_seconds),
            ("private receipt p95 / calm p95", self.private_ratio, bounds.private_ratio),
            ("blocks until a transfer is mined", self.blocks_waited, bounds.blocks_waited),
            ("memory growth in MB", self.memory_growth_bytes / MEGABYTE, bounds.memory_bytes / MEGABYTE),
            (
                "disk growth in MB",
                self.disk_growth_bytes / MEGABYTE,
                None if bounds.disk_bytes is None else bounds.disk_bytes / MEGABYTE,
            ),
            ("log growth in MB/min", self.log_bytes_per_minute / MEGABYTE, bounds.log_bytes_per_minute / MEGABYTE),
            ("seconds to stop", self.stop_seconds or 0.0, bounds.stop_seconds),
        )
        exceeded = [
            f"{name}: {value:.2f}, and at most {limit:.2f} is allowed"
            for name, value, limit in rows
            if limit is not None and value > limit
        ]
        return [*exceeded, *self.faults]
