"""The filter of eth_getLogs, as a test on blooms and on logs. This file must not read the chain.

As in Besu, a log with fewer topics than the filter never matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lacnode.primitives.bloom import bloom_bits
from lacnode.primitives.receipt import Log


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Accepted addresses and topics. `addresses` (20 bytes each) is empty for every address. `topics` has one tuple for
    each position, with the accepted topics (32 bytes each). An empty tuple accepts every topic. A log with fewer topics
    than positions never matches."""

    addresses: tuple[bytes, ...] = ()
    topics: tuple[tuple[bytes, ...], ...] = ()
    _addresses: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _topics: tuple[frozenset[bytes], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Sets: a filter may have thousands of addresses, and a block a hundred thousand logs.
        object.__setattr__(self, "_addresses", frozenset(self.addresses))
        object.__setattr__(self, "_topics", tuple(map(frozenset, self.topics)))

    @property
    def item_count(self) -> int:
        """The number of addresses and topics in the filter. A position that accepts every topic counts as one."""
        # It takes memory too: a filter of empty positions alone must not count 0.
        return len(self.addresses) + sum(max(1, len(accepted)) for accepted in self.topics)

    def matches(self, log: Log) -> bool:
        """Whether the filter accepts the address and the topics of `log`. False for a log with fewer topics than the
        filter has positions."""
        if self._addresses and log.address not in self._addresses:
            return False
        # A filter position without a topic in the log never matches, even if it accepts every topic.
        if len(self._topics) > len(log.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self._topics, log.topics, strict=False))

    def to_bloom_test(self) -> "BloomTest":
        """The same filter for blooms. It may accept a bloom without a matching log. It never refuses one with such a log."""
        return BloomTest([self.addresses, *self.topics])


class BloomTest:
    """Whether a bloom may contain one item of every group. Items are addresses and topics. An empty group accepts every
    bloom."""

    def __init__(self, groups: Sequence[Sequence[bytes]]) -> None:
        # The bits are computed once for each search, and not for each block. An empty group accepts everything.
        self._groups = [[bloom_bits(item) for item in group] for group in groups if group]

    def passes(self, bloom: bytes) -> bool:
        """Whether the 256-byte `bloom` may contain one item of every group. False means that it certainly does not."""
        bits = int.from_bytes(bloom)
        return all(any(bits & wanted == wanted for wanted in group) for group in self._groups)
