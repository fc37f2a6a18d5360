"""A decided block is imported at once, whatever is being built or checked meanwhile."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget, ExecutionCancelledError
from lacnode.evm.engine import AncestorHash, ExecutedBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from tests.support.chain_genesis import ADDRESSES
from tests.support.chain_network import Network, network, sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.ibft2_blocks import with_seals

DEADLINE_SECONDS = 10


class Running:
    """Work in a thread of its own, and how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except (ExecutionCancelledError, BudgetExceededError, BlockRefusedError) as error:
            self.error = error

    def wait(self) -> BaseException | None:
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()
        return self.error


class Stage:
    """A chain at block 0 that executes a block 1 without end, and another block 1 with seals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.net: Network = network()
        proposer = network()
        self.slow = proposer.build([Offer(transaction(0))])
        self.decided = sealed(proposer.build(), proposer.chain)
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        execute, stage = PyEvmEngine.execute, self

        def executed(
            engine: PyEvmEngine,
            parent_state_root: bytes,
            header: BlockHeader,
            transactions: Sequence[Transaction],
            ancestor_hash: AncestorHash,
            budget: ExecutionBudget = UNLIMITED,
        ) -> ExecutedBlock:
            if transactions:
                stage.begun.release()
                while not stage.may_end.wait(0.01):
                    budget.check()
            return execute(engine, parent_state_root, header, transactions, ancestor_hash, budget)

        monkeypatch.setattr(PyEvmEngine, "execute", executed)

    @property
    def chain(self) -> Blockchain:
        return self.net.chain

    def checking(self, block: Block, budget: ExecutionBudget = UNLIMITED) -> Running:
        running = Running(lambda: self.chain.check_proposal(block, budget))
        assert self.begun.acquire(timeout=DEADLINE_SECONDS)
        return running

    def build_without_end(self, offers: Iterable[Offer]) -> Block:
        head = self.chain.head.header
        extra = encode_extra_data(ExtraData(bytes(32), ADDRESSES))
        return self.chain.build_block(head.timestamp + 1, ADDRESSES[0], extra, offers, float("inf"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_a_check_is_given_up_for_the_import_of_another_block(stage: Stage) -> None:
    running = stage.checking(stage.slow)
    assert stage.chain.import_block(stage.decided)
    assert isinstance(running.wait(), ExecutionCancelledError)
    assert stage.chain.head.header.number == 1


def test_the_check_of_the_imported_block_itself_is_taken_over(stage: Stage) -> None:
    decided = sealed(stage.slow, stage.chain)
    running = stage.checking(stage.slow)
    importing = Running(lambda: stage.chain.import_block(decided))
    stage.may_end.set()
    assert running.wait() is None
    assert importing.wait() is None
    assert (stage.chain.head.header.number, stage.net.engine.executions) == (1, 1)


def test_a_build_is_given_up_for_an_import(stage: Stage) -> None:
    begun, offer = threading.Event(), Offer(transaction(7))

    def without_end() -> Iterator[Offer]:
        while True:
            begun.set()
            yield offer

    running = Running(lambda: stage.build_without_end(without_end()))
    assert begun.wait(DEADLINE_SECONDS)
    assert stage.chain.import_block(stage.decided)
    assert isinstance(running.wait(), ExecutionCancelledError)


def test_a_block_without_seals_disturbs_nothing(stage: Stage) -> None:
    running = stage.checking(stage.slow)
    with pytest.raises(BlockRefusedError):
        stage.chain.import_block(with_seals(stage.decided, ()))
    stage.may_end.set()
    assert running.wait() is None


def test_a_block_that_is_known_disturbs_nothing(stage: Stage) -> None:
    assert stage.chain.import_block(stage.decided)
    proposer = network()
    proposer.chain.import_block(stage.decided)
    later = proposer.build([Offer(transaction(0))])
    running = stage.checking(later)
    assert not stage.chain.import_block(stage.decided)
    stage.may_end.set()
    assert running.wait() is None


def test_a_check_ends_with_its_budget_and_nothing_of_it_is_kept(stage: Stage) -> None:
    budget = ExecutionBudget()
    running = stage.checking(stage.slow, budget)
    budget.cancel()
    assert isinstance(running.wait(), ExecutionCancelledError)
    stage.may_end.set()
    stage.chain.check_proposal(stage.slow)
    assert stage.net.engine.executions == 2
