"""IBFT 2.0 parameters by height: the genesis' `ibft2` section and its transitions (Besu's `BftForksSchedule`)."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IbftParameters:
    """In force at one height. Times in milliseconds, reward in wei, limits in messages or heights.

    `mining_beneficiary` receives fees and reward and is what COINBASE returns; None means the block's coinbase.
    """

    block_period_ms: int = 1000
    request_timeout_ms: int = 1000
    epoch_length: int = 30_000
    block_reward: int = 0
    mining_beneficiary: bytes | None = None
    gossiped_history_limit: int = 1000
    message_queue_limit: int = 1000
    duplicate_message_limit: int = 100
    future_messages_limit: int = 1000
    future_messages_max_distance: int = 10


@dataclass(frozen=True, slots=True)
class IbftSchedule:
    """Parameters from each height on, ascending from 0, and the heights at which the validators are replaced."""

    steps: tuple[tuple[int, IbftParameters], ...]
    overrides: tuple[tuple[int, tuple[bytes, ...]], ...] = ()

    def at(self, height: int) -> IbftParameters:
        """The parameters of block `height`."""
        place = bisect_right(self.steps, height, key=lambda step: step[0])
        return self.steps[max(0, place - 1)][1]

    def validators_override(self, height: int) -> tuple[bytes, ...] | None:
        """The validators that a transition sets for block `height`, ascending; None where none does."""
        return dict(self.overrides).get(height)
