"""Holding a validator back after its start until it may sign (docs/adr/0010-signing-after-a-start.md).

`consensus.resumption` has the rule. This file observes the network for it, gives it the time and logs its state. Must
not decide, and must not touch the validator: it is started when `wait` returns.
"""

from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.resumption import NetworkObservation, ResumptionStage, SigningResumption
from lacnode.p2p.peer import Peer

log = structlog.get_logger("consensus")

SIGNING_CHECK_INTERVAL_SECONDS = 0.5
"""Seconds between two checks when no event comes: a peer that reports a higher head causes no event of this node."""

SILENT_WAIT_SECONDS = 3.0
"""Seconds that a validator waits for peers before it logs that: after most starts they connect at once."""


class SigningWait:
    """The time after a start during which the validator at `own_address` (20 bytes) must not sign. `next_change()` is an
    event that is set when a peer joins or leaves and when the head changes. `record` makes a record of the journal
    durable."""

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Sequence[Peer]],
        own_address: bytes,
        next_change: Callable[[], trio.Event],
        journal: Journal,
        record: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._chain = chain
        self._peers = peers
        self._address = own_address
        self._state_changed = next_change
        self._journal = journal
        self._record = record
        self._rule = SigningResumption(
            own_address, has_loss=journal.loss_reason is not None, floor=journal.signing_floor
        )
        self._logged_stage: ResumptionStage | None = None

    @property
    def is_over(self) -> bool:
        """Whether the validator may sign. Once True, it stays True."""
        return self._rule.may_sign

    @property
    def status(self) -> ConsensusStatus:
        """The status of agreement while this node does not take part in it. Its member `missing` names the reason."""
        observation = self._observe_network()
        is_validator = self._address in observation.validators
        missing = f"this validator does not sign yet: {self._reason}" if is_validator else _NOT_A_VALIDATOR
        return ConsensusStatus(observation.head + 1, is_validator, observation.validators, missing=missing)

    async def wait(self) -> None:
        """Return when the validator may sign. StorageError if the record that ends a loss cannot be written."""
        began = trio.current_time()
        while True:
            # The event is taken before the network is observed: a change in between sets it, and is not missed.
            moved = self._state_changed()
            settled = self._rule.observe(self._observe_network(), int(trio.current_time() * 1000))
            if settled is not None:
                # On the disk before the first signature: a restart must not wait once more, nor sign below this height.
                await self._record(self._journal.resolve_loss(settled))
            if self._rule.may_sign:
                break
            if self._rule.stage is not ResumptionStage.MEETING or trio.current_time() - began >= SILENT_WAIT_SECONDS:
                self._log_reason()
            with trio.move_on_after(SIGNING_CHECK_INTERVAL_SECONDS):
                await moved.wait()
        # After an ordinary start no line said that the validator waits, so none says that it signs again.
        if self._logged_stage is not None:
            log.warning("this validator signs again", from_block=self._chain.head.header.number + 1)

    @property
    def _reason(self) -> str:
        loss = self._journal.loss_reason
        return self._rule.waiting_for if loss is None else f"{loss}; {self._rule.waiting_for}"

    def _log_reason(self) -> None:
        """Log why the validator does not sign, once for each stage."""
        stage = self._rule.stage
        if stage not in (ResumptionStage.MEMBERSHIP, self._logged_stage):
            self._logged_stage = stage
            log.warning(f"this validator does not sign yet: {self._reason}")

    def _observe_network(self) -> NetworkObservation:
        head = self._chain.head.header
        heads = {peer.address: peer.head.number for peer in self._peers()}
        return NetworkObservation(head.number, self._chain.validators_after(head), heads)


_NOT_A_VALIDATOR = "this node is no validator at this height"
