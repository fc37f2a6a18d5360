"""The parameters of consensus by height: sections of the genesis and their transitions (Besu's `ForksSchedule`)."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IbftParameters:
    """The parameters at one height. Times are in milliseconds, `epoch_length` is in blocks, and the reward is in wei.

    The limits are numbers of consensus messages: those that wait of one validator (`message_queue_limit`), relayed ones
    and received ones that are remembered (`gossiped_history_limit`, `duplicate_message_limit`), and kept ones for later
    heights (`future_messages_limit`). `future_messages_max_distance` is the number of such heights. The node applies
    the largest value of each limit in the schedule at every height.

    `mining_beneficiary` (20 bytes) receives the fees and the reward, and is the result of COINBASE. None means the
    block's coinbase. `validator_contract` is the address (20 bytes) of the contract that names the validators of a
    block. None means that headers do. `empty_block_period_ms` is the least time after the parent of a block without
    transactions. 0 means no such wait. `epoch_begins` is the block from which epochs are counted. `follows_goquorum`:
    GoQuorum's validators may make the block. They compare neither its gas limit nor its list of validators. The vote of
    an epoch block counts, and its list does not.
    """

    block_period_ms: int = 1000
    request_timeout_ms: int = 1000
    epoch_length: int = 30_000
    epoch_begins: int = 0
    follows_goquorum: bool = False
    block_reward: int = 0
    mining_beneficiary: bytes | None = None
    validator_contract: bytes | None = None
    empty_block_period_ms: int = 0
    gossiped_history_limit: int = 1000
    message_queue_limit: int = 1000
    duplicate_message_limit: int = 100
    future_messages_limit: int = 1000
    future_messages_max_distance: int = 10

    def is_epoch_block(self, number: int) -> bool:
        """Whether block `number` begins an epoch: open votes are forgotten. The block `epoch_begins` itself is one."""
        return (number - self.epoch_begins) % self.epoch_length == 0

    def first_epoch_block_above(self, number: int) -> int:
        """The number of the first epoch block above block `number`."""
        return number + self.epoch_length - (number - self.epoch_begins) % self.epoch_length


@dataclass(frozen=True, slots=True)
class IbftSchedule:
    """The parameters from each height on, as (height, parameters), ascending from 0. `overrides` are the heights at
    which transitions replace the validators, ascending, with the addresses (20 bytes each, ascending)."""

    steps: tuple[tuple[int, IbftParameters], ...]
    overrides: tuple[tuple[int, tuple[bytes, ...]], ...] = ()

    def parameters_at(self, height: int) -> IbftParameters:
        """The parameters of block `height`: those of the last step at or below it."""
        # The last step that starts at or below the height.
        place = bisect_right(self.steps, height, key=lambda step: step[0])
        return self.steps[max(0, place - 1)][1]

    def validators_replaced_at(self, height: int) -> tuple[bytes, ...] | None:
        """The validators (20-byte addresses, ascending) that a transition names for the agreement on block `height`.
        None if no transition does. The vote in block `height` - 1 counts on top of them, so the real set may differ by
        one."""
        return dict(self.overrides).get(height)
