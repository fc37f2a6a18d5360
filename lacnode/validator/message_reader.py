"""Gives the messages of peers to the state machine, and counts the processor time that they take.

A peer's message can never stop this node: an error that it leads to is logged, and the message is dropped. Must not carry
out effects.
"""

from collections.abc import Callable, Collection
from functools import partial

import trio

from lacnode.consensus.bft.controller import BftController
from lacnode.consensus.bft.effects import ChargeTimeToAuthor, CheckProposal, Effect, RelayIsFree
from lacnode.consensus.bft.events import MessageReceived
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.workers.worker import Worker

LARGE_MESSAGE_BYTES = 16 * 2**10
"""Bytes from which a consensus message is read in a thread. With the worst content, reading so many takes 20 ms."""


class MessageReader:
    """Reads messages one after the other. Use on the event loop only.

    `now_ms` is the wall clock in milliseconds. `thread_seconds` is the processor time of the calling thread in seconds.
    `charge(address, seconds)` is called with the processor time of each message that is not free, and with the validator
    (20-byte address) that pays for it: the author or the sender. `overdrawn()` are the addresses of those that have used
    up their share.
    """

    def __init__(
        self,
        machine: BftController,
        worker: Worker,
        charge: Callable[[bytes, float], None],
        overdrawn: Callable[[], Collection[bytes]],
        now_ms: Callable[[], int],
        thread_seconds: Callable[[], float],
    ) -> None:
        self._machine = machine
        self._worker = worker
        self._charge = charge
        self._overdrawn = overdrawn
        self._now_ms = now_ms
        self._thread_seconds = thread_seconds
        self._log = RateLimitedLog("consensus", trio.current_time)

    async def read(self, event: MessageReceived) -> list[Effect]:
        """Give a message to the state machine, a large one in the worker, and return its effects. An error that the
        message leads to is logged, and the list is empty.
        """
        # Asked here and not by the machine: a large message is handled in a thread.
        handle = partial(self._handle, event, self._now_ms(), self._overdrawn())
        # A message of 15 MiB takes a second to read, so large ones are not read on the event loop.
        is_large = len(event.data) >= LARGE_MESSAGE_BYTES
        effects, error, seconds = await self._worker.run(handle) if is_large else handle()
        if error is not None:
            text = "a consensus message could not be handled"
            self._log.exception((text, event.sender), text, exc_info=error, sender=event.sender.hex(), code=event.code)
        # The first valid proposal of a round is free. Its check costs more than reading it, and a network with full blocks
        # must not make its proposers wait for their share.
        if not any(isinstance(effect, CheckProposal | RelayIsFree) for effect in effects):
            authors = [effect.author for effect in effects if isinstance(effect, ChargeTimeToAuthor)]
            self._charge(authors[0] if authors else event.sender, seconds)
        return effects

    def _handle(
        self, event: MessageReceived, now_ms: int, overdrawn: Collection[bytes]
    ) -> tuple[list[Effect], Exception | None, float]:
        """The effects of a message or the error that it led to, and the processor time in seconds. May run in a thread."""
        effects: list[Effect] = []
        error: Exception | None = None
        began = self._thread_seconds()
        try:
            effects = self._machine.handle(event, now_ms, overdrawn)
        except Exception as failure:
            error = failure
        return effects, error, self._thread_seconds() - began
