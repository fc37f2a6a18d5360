"""What eth_getLogs asks for, as a test on blooms and on logs (Ethereum JSON-RPC, eth_getLogs; rpc of Besu: a log with
fewer topics than the filter never matches). Must not read the chain."""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.primitives.bloom import bloom_bits
from lacnode.primitives.receipt import Log


@dataclass(frozen=True, slots=True)
class LogFilter:
    """`addresses`: any of them, or any at all when empty. `topics`: for each position the alternatives, any topic when
    empty."""

    addresses: tuple[bytes, ...] = ()
    topics: tuple[tuple[bytes, ...], ...] = ()

    @property
    def items(self) -> int:
        """How many addresses and topics it names."""
        return len(self.addresses) + sum(map(len, self.topics))

    def matches(self, log: Log) -> bool:
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))

    def to_bloom_test(self) -> "BloomTest":
        """The same question to a bloom, answered yes too often but never no wrongly."""
        return BloomTest([self.addresses, *self.topics])


class BloomTest:
    """Whether a bloom may hold one item of every group."""

    def __init__(self, groups: Sequence[Sequence[bytes]]) -> None:
        self._groups = [[bloom_bits(item) for item in group] for group in groups if group]

    def passes(self, bloom: bytes) -> bool:
        bits = int.from_bytes(bloom)
        return all(any(bits & wanted == wanted for wanted in group) for group in self._groups)
