"""Makes the blocks of a devnet that no call asks for: when a transaction waits, or at an interval."""

import trio

from lacnode.devnet.coordinator import BlockMode, Coordinator

WORK_POLL_SECONDS = 0.02
"""Time between two looks at the pool while blocks are made on demand."""


async def make_blocks(coordinator: Coordinator) -> None:
    """Make each block that no call asks for, until cancelled. If an interval is set, that is one block at each
    interval. If none is set and the mode is on demand, it is one whenever a transaction can fill it. A failure is
    logged."""
    while True:
        seconds = coordinator.interval_seconds
        if seconds is not None:
            with trio.move_on_after(seconds) as interval:
                # A new mode counts at once: the interval before it may be hours.
                await coordinator.mode_change.wait()
            if interval.cancelled_caught:
                await coordinator.try_make_block()
        elif coordinator.mode is BlockMode.ON_DEMAND and coordinator.has_transaction_for_block():
            await coordinator.try_make_block()
        else:
            await trio.sleep(WORK_POLL_SECONDS)
