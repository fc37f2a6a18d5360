"""Private transactions in a running node: the parts of private execution, and the workers that drive them.

One worker follows the public head, one executes transactions that take long, one compares state roots with the
groups' other members. Each has a thread of its own. No public part waits for them, and an error in them does not end
the node.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.crypto.node_key import load_node_key
from lacnode.evm.budget import ExecutionCancelledError
from lacnode.evm.engine import ExecutionEngine
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.node.configuration import PrivacySettings
from lacnode.primitives.transaction import Transaction
from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.privacy.state.privacy_context import PrivacyContext, ignore_signer
from lacnode.privacy.state.privacy_controller import PrivacyController
from lacnode.privacy.state.privacy_marker import FixedKeySigner, MarkerSigner, RandomKeySigner
from lacnode.privacy.state.private_sending import MarkerSubmitter
from lacnode.privacy.state.private_store import PrivateNodeStore
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.privacy.state.state_root_comparison import StateRootComparison
from lacnode.privacy.transaction_manager import EnclaveUnreachableError, TransactionManager
from lacnode.storage.database import Database
from lacnode.txpool.transaction_pool import TransactionPool
from lacnode.txpool.transaction_submission import TransactionSource, TransactionSubmission

if TYPE_CHECKING:
    from lacnode.privacy.service.manager_service import ManagerService

log = structlog.get_logger("privacy")

WORK_SLICE_SECONDS = 0.25
"""Seconds of work between two looks at whether to go on."""

FIRST_MANAGER_RETRY_SECONDS, LONGEST_MANAGER_RETRY_SECONDS = 0.5, 15.0
"""Seconds until a manager that did not answer is asked again: at first, and at most."""

REPAIR_CHECK_SECONDS = 5.0
"""Seconds between two looks for payloads that are to be asked for again."""

LONG_EXECUTION_CHECK_SECONDS = 0.5
"""Seconds between two looks for private transactions that take long."""

COMPARISON_POLL_SECONDS = 2.0
"""Seconds between two looks for groups that are to be compared with their other members."""

ARRIVED_PAYLOAD_COUNT = 10_000
"""Payloads that may have come and were not processed yet. Further ones are found when they are asked for again."""


@dataclass(frozen=True, slots=True)
class PublicNodeParts:
    """The parts of the public node that private execution needs."""

    chain: Blockchain
    engine: ExecutionEngine
    database: Database
    pool: TransactionPool
    submission: TransactionSubmission


class PrivacyService:
    """Private execution and its workers. `hosted` is the manager that runs in this process, None if the manager runs
    elsewhere. State roots are compared with those of other members only if `hosted` is set: a manager elsewhere cannot
    ask them. KeyFileError if the key of the markers cannot be read."""

    def __init__(
        self,
        settings: PrivacySettings,
        manager: TransactionManager,
        public: PublicNodeParts,
        hosted: "ManagerService | None" = None,
    ) -> None:
        chain, pool = public.chain, public.pool

        def next_nonce(address: bytes) -> int:
            # Pending markers of the same key count: a second marker must not replace the first.
            pending = pool.next_nonce(address)
            return chain.state_at(chain.head.header).nonce(address) if pending is None else pending

        def submit(marker: Transaction) -> None:
            public.submission.submit(marker, TransactionSource.PRIVATE_MARKER)

        # Private states are read by py-evm alone, on any `--evm`: the native engine has no private execution.
        private_states = make_engine(chain.spec, PrivateNodeStore(public.database), kind=EngineKind.PYTHON)
        context = PrivacyContext(
            history=chain,
            head=lambda: chain.head.header.number,
            engine=public.engine,
            database=public.database,
            manager=manager,
            chain_id=chain.spec.chain_id,
            mode=settings.mode,
            state_quota_bytes=settings.state_quota_bytes,
            genesis=settings.genesis,
            own_keys=_own_keys(settings, hosted),
            alarms=tuple if hosted is None else hosted.quota.alarms,
            record_missing_payload_signer=ignore_signer
            if hosted is None
            else hosted.manager.record_missing_payload_signer,
        )
        self.privacy_controller = PrivacyController(
            context,
            public_key=settings.public_key,
            signer=_signer(settings),
            public=MarkerSubmitter(next_nonce, submit),
            accounts=private_states.accounts,
        )
        self._execution = self.privacy_controller.execution
        self._agreement = None if hosted is None else self._compared_by(hosted, context)
        self._head_moved = trio.Event()
        self._arrived: deque[bytes] = deque(maxlen=ARRIVED_PAYLOAD_COUNT)

    def _compared_by(self, hosted: "ManagerService", context: PrivacyContext) -> StateRootComparison:
        privacy_controller = self.privacy_controller
        agreement = StateRootComparison(
            context,
            GroupMembership(context, privacy_controller.groups),
            lambda: privacy_controller.execution.processor.progress.last_executed_block,
            hosted.state_root_client,
        )
        hosted.roots.source = agreement
        return agreement

    def head_moved(self) -> None:
        """Wake the worker, because the public chain has a new head. Call on the event loop."""
        self._head_moved.set()

    def payload_arrived(self, payload_key: bytes) -> None:
        """Let the worker look for the payload with this key (32 bytes), which the manager has just stored. Call on the
        event loop."""
        self._arrived.append(payload_key)
        self._head_moved.set()

    async def run(self, publish: Callable[[PrivateBlock], None]) -> None:
        """Follow the public chain and execute private transactions until cancelled. `publish` is called on the event
        loop with every private block that has logs. An error of private execution is logged, and the work tried again.
        """
        token = trio.lowlevel.current_trio_token()
        self._execution.processor.on_private_logs(lambda private_block: token.run_sync_soon(publish, private_block))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            nursery.start_soon(self._execute_long)

    async def _follow(self) -> None:
        """Execute the private transactions of new public blocks."""
        limiter = trio.CapacityLimiter(1)
        pause = FIRST_MANAGER_RETRY_SECONDS
        try:
            while True:
                self._head_moved = trio.Event()
                # The event is made before the work: a head that comes meanwhile sets it, and the wait below ends at
                # once.
                more = await trio.to_thread.run_sync(self._work, limiter=limiter)
                if more:
                    pause = FIRST_MANAGER_RETRY_SECONDS
                # The manager does not answer. A new head does not change that, so the worker waits for time and not for
                # heads.
                elif self._execution.processor.progress.is_waiting_for_manager:
                    await trio.sleep(pause)
                    pause = min(2 * pause, LONGEST_MANAGER_RETRY_SECONDS)
                else:
                    pause = FIRST_MANAGER_RETRY_SECONDS
                    with trio.move_on_after(REPAIR_CHECK_SECONDS):
                        await self._head_moved.wait()
        finally:
            # Also when the node stops: the next start goes on where this one ended.
            self._execution.processor.progress.save_cursor()

    async def _execute_long(self) -> None:
        """Execute the private transactions that take long, without holding up the others."""
        limiter = trio.CapacityLimiter(1)
        while True:
            if not await trio.to_thread.run_sync(self._long_step, limiter=limiter):
                await trio.sleep(LONG_EXECUTION_CHECK_SECONDS)

    async def compare_state_roots(self) -> None:
        """Compare state roots with the groups' other members until cancelled. Errors are logged, and the work goes on.
        Without a manager in this process it returns at once.
        """
        if self._agreement is None:
            return
        limiter = trio.CapacityLimiter(1)
        while True:
            await trio.to_thread.run_sync(_step, self._agreement, limiter=limiter)
            await trio.sleep(COMPARISON_POLL_SECONDS)

    def _work(self) -> bool:
        """Work for a while. Return whether there is more to do now."""
        until = time.monotonic() + WORK_SLICE_SECONDS
        try:
            # Arrived payloads first: a block may wait for one of them.
            while self._arrived:
                self._execution.repair.make_due(self._arrived.popleft())
            while self._execution.processor.step() or self._execution.repair.step():
                # Work goes in slices: a cancelled task waits for its thread.
                if time.monotonic() > until:
                    return True
        except ExecutionCancelledError:
            log.debug(
                "private execution ends with the node",
                block=self._execution.processor.progress.last_executed_block + 1,
            )
        # A fault in private execution must not stop the public node. The block stays where it is and is tried again.
        except Exception:
            log.exception(
                "private execution failed and is tried again",
                block=self._execution.processor.progress.last_executed_block + 1,
            )
        return False

    def _long_step(self) -> bool:
        """Try one transaction that takes long. Return whether there may be more."""
        try:
            return self._execution.long_execution.step()
        except ExecutionCancelledError:
            log.debug("a long private execution ends with the node; it starts again with it")
        except Exception:
            log.exception("a long private transaction failed and is tried again")
        return False


def _step(agreement: StateRootComparison) -> None:
    try:
        agreement.step()
    except ExecutionCancelledError:
        log.debug("comparing state roots ends with the node")
    except EnclaveUnreachableError as error:
        log.debug(f"state roots are not compared: {error}")
    except Exception:
        log.exception("comparing state roots failed and is tried again")


def _own_keys(settings: PrivacySettings, hosted: "ManagerService | None") -> frozenset[bytes]:
    """Return the keys that are known to be this node's. Of a manager elsewhere it is only the configured one."""
    configured = () if settings.public_key is None else (settings.public_key,)
    return frozenset((*configured, *(() if hosted is None else hosted.state_root_client.own_keys)))


def _signer(settings: PrivacySettings) -> MarkerSigner:
    file = settings.marker_key_file
    return RandomKeySigner() if file is None else FixedKeySigner(load_node_key(file))
