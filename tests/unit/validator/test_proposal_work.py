"""Builds and checks end with their round, and an import waits for none of them: the driver, with a scripted machine."""

import threading
from collections.abc import Awaitable, Callable, Collection, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.consensus.bft.effects import BuildBlock, CheckProposal, Effect, ImportBlock, SearchPool
from lacnode.consensus.bft.events import BlockBuilt, BlockTimerExpired, Event, PoolSearched, ProposalChecked
from lacnode.consensus.bft.journal import Journal
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.validator.proposal_budgets import ProposalBudgets
from lacnode.validator.validator import Validator
from lacnode.workers.worker import ThreadWorker
from tests.support.chain_network import network
from tests.support.ibft2_blocks import IBFT2_ONLY

DEADLINE_SECONDS = 10
DIGEST = b"\x0d" * 32


class Machine:
    """Answers an event that is a string with the effects that the test has put under it."""

    def __init__(self) -> None:
        self.height_and_round = (1, 0)
        self.heard: list[Event] = []
        self.came = trio.Event()
        self.effects: list[Effect] = []

    def handle(self, event: Event, now_ms: int, overdrawn: Collection[bytes] = ()) -> list[Effect]:
        self.heard.append(event)
        self.came.set()
        self.came = trio.Event()
        effects, self.effects = self.effects, []
        return effects

    async def wait_for(self, kind: type[Event]) -> Any:
        with trio.fail_after(DEADLINE_SECONDS):
            while not any(isinstance(event, kind) for event in self.heard):
                await self.came.wait()
        return next(event for event in self.heard if isinstance(event, kind))


class Chain:
    """A chain whose checks and builds never end by themselves."""

    def __init__(self) -> None:
        real = network().chain
        self.head, self.spec, self.validators_after = real.head, real.spec, real.validators_after
        self.protocols = real.protocols
        self.begun = threading.Semaphore(0)
        self.imported = threading.Event()

    def work(self, budget: ExecutionBudget) -> None:
        self.begun.release()
        while True:
            threading.Event().wait(0.01)
            budget.check()

    def check_proposal(self, block: Block, budget: ExecutionBudget, *, is_prepared: bool) -> None:
        self.work(budget)

    def build(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> Block:
        self.work(budget)
        raise AssertionError

    def has_transaction(self, height: int, round_: int, timestamp: int, budget: ExecutionBudget) -> bool:
        self.work(budget)
        raise AssertionError

    def import_block(self, block: Block) -> bool:
        self.imported.set()
        return True


class NoRecords:
    def append(self, record: bytes) -> None:
        """Forget it."""

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Forget them."""


class Stage:
    def __init__(self) -> None:
        self.machine, self.chain = Machine(), Chain()
        self.block = network().build()
        machine, chain = self.machine, self.chain
        maker = SimpleNamespace(build=chain.build, has_transaction=lambda *arguments: chain.has_transaction(*arguments))
        network_outputs: Any = SimpleNamespace(announce_block=lambda block: None)
        self.validator = Validator(
            machine,  # type: ignore[arg-type]
            journal=Journal(IBFT2_ONLY),
            records=NoRecords(),
            signer=NodeKey.from_private_key((1).to_bytes(32)),
            chain=chain,  # type: ignore[arg-type]
            block_creator=maker,
            network=network_outputs,
            proposal_worker=ThreadWorker(),
            state_worker=ThreadWorker(),
            log_worker=ThreadWorker(),
            reading_worker=ThreadWorker(abandons_on_cancel=True),
            signing_worker=ThreadWorker(abandons_on_cancel=True),
            now_ms=lambda: 0,
            message_limit=10,
        )

    def tell(self, *effects: Effect, position: tuple[int, int] | None = None) -> None:
        """Have the machine answer the next event with `effects`."""
        if position is not None:
            self.machine.height_and_round = position
        self.machine.effects = list(effects)
        self.validator._intake.put(BlockTimerExpired(1, 0))

    async def until_begun(self) -> None:
        assert await trio.to_thread.run_sync(lambda: self.chain.begun.acquire(timeout=DEADLINE_SECONDS))

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.validator.run)
                await scenario()
                nursery.cancel_scope.cancel()

        trio.run(main)


@pytest.mark.parametrize("position", [(1, 1), (2, 0)], ids=["the next round", "the next height"])
def test_a_check_ends_with_its_round_and_is_a_refusal_that_says_why(position: tuple[int, int]) -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.tell(CheckProposal(0, DIGEST, stage.block))
        await stage.until_begun()
        stage.tell(position=position)
        checked = await stage.machine.wait_for(ProposalChecked)
        assert checked.digest == DIGEST
        assert checked.failure.startswith("check-interrupted: ")

    stage.run(scenario)


def test_a_check_for_a_later_round_goes_on_until_that_is_left() -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.tell(CheckProposal(2, DIGEST, stage.block))
        await stage.until_begun()
        stage.tell(position=(1, 2))
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert not any(isinstance(event, ProposalChecked) for event in stage.machine.heard)
        stage.tell(position=(1, 3))
        await stage.machine.wait_for(ProposalChecked)

    stage.run(scenario)


def test_a_build_ends_with_its_round_and_what_waits_behind_it_is_done() -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.tell(BuildBlock(1, 0, 1))
        await stage.until_begun()
        stage.tell(CheckProposal(1, DIGEST, stage.block), position=(1, 1))
        await stage.until_begun()
        assert not any(isinstance(event, BlockBuilt) for event in stage.machine.heard)
        stage.tell(position=(2, 0))
        await stage.machine.wait_for(ProposalChecked)

    stage.run(scenario)


def test_a_search_of_the_pool_ends_with_its_round_and_is_answered() -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.tell(SearchPool(1, 0, 1))
        await stage.until_begun()
        stage.tell(position=(1, 1))
        assert not (await stage.machine.wait_for(PoolSearched)).found

    stage.run(scenario)


def test_a_proposal_ends_the_search() -> None:
    """Both use one thread, and the search may take most of a block period."""
    stage = Stage()

    async def scenario() -> None:
        stage.tell(SearchPool(1, 0, 1))
        await stage.until_begun()
        stage.tell(CheckProposal(0, DIGEST, stage.block))
        assert not (await stage.machine.wait_for(PoolSearched)).found
        await stage.until_begun()
        stage.tell(position=(1, 1))
        await stage.machine.wait_for(ProposalChecked)

    stage.run(scenario)


@pytest.mark.parametrize("found", [True, False])
def test_the_result_of_a_search_is_told(found: bool) -> None:
    stage = Stage()
    stage.chain.has_transaction = lambda *arguments: found  # type: ignore[method-assign]

    async def scenario() -> None:
        stage.tell(SearchPool(1, 0, 1))
        assert await stage.machine.wait_for(PoolSearched) == PoolSearched(1, 0, found)

    stage.run(scenario)


def test_a_search_that_fails_has_found_nothing() -> None:
    """Without an answer this validator would never search again."""
    stage = Stage()

    def fail(*arguments: object) -> bool:
        raise BlockRefusedError("system-call", "it failed")

    stage.chain.has_transaction = fail  # type: ignore[assignment, method-assign]

    async def scenario() -> None:
        stage.tell(SearchPool(1, 0, 1))
        assert await stage.machine.wait_for(PoolSearched) == PoolSearched(1, 0, False)

    stage.run(scenario)


def test_an_import_is_not_behind_a_check() -> None:
    stage = Stage()

    async def scenario() -> None:
        stage.tell(CheckProposal(0, DIGEST, stage.block))
        await stage.until_begun()
        stage.tell(ImportBlock(DIGEST, stage.block))
        assert await trio.to_thread.run_sync(stage.chain.imported.wait, DEADLINE_SECONDS)
        stage.tell(position=(2, 0))
        await stage.machine.wait_for(ProposalChecked)

    stage.run(scenario)


def test_work_for_a_round_that_was_left_before_it_began_is_cancelled_from_the_start() -> None:
    work = ProposalBudgets()
    work.cancel_earlier_rounds(3, 1)
    for height, round_, is_left in ((3, 0, True), (2, 5, True), (3, 1, False), (3, 2, False), (4, 0, False)):
        with work.budget_for_round(height, round_) as budget:
            assert budget.is_cancelled == is_left


def test_a_refusal_is_told_as_before() -> None:
    stage = Stage()

    def refuse(block: Block, budget: ExecutionBudget, *, is_prepared: bool) -> None:
        raise BlockRefusedError("gas-used", "too much")

    stage.chain.check_proposal = refuse  # type: ignore[method-assign]

    async def scenario() -> None:
        stage.tell(CheckProposal(0, DIGEST, stage.block))
        assert (await stage.machine.wait_for(ProposalChecked)).failure == "too much"

    stage.run(scenario)
