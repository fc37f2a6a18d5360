"""A contract that gives no answer in time costs a node little, over all blocks, and comes back when it answers again."""

import math
import threading
from collections.abc import Hashable, Iterable

import pytest

from lacnode.permissioning.account_permissions import BUILDING_SECONDS, POOL_SECONDS
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReading, ContractTimeoutError
from lacnode.primitives.header import BlockHeader
from tests.support.rpc_chain import node

RULES, FRIEND = b"\x01" * 20, b"the administrator"
QUESTIONS_A_BLOCK = 8
LOOP = math.inf
HEAD = node().chain.head.header


class Machine:
    """A node on a clock that only its contract moves, or the end of a block. The contract needs `needs` seconds for an
    answer, and for one to `FRIEND` nothing."""

    def __init__(self, needs: float) -> None:
        self.needs = needs
        self.now = 1000.0
        self.spent = 0.0
        self.number = 0
        self.asked = 0
        self.answers = ContractAnswerCache(self, RULES, clock=lambda: self.now)

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        needs = 0.0 if data.startswith(FRIEND) else self.needs
        self.now += min(needs, seconds)
        self.spent += min(needs, seconds)
        if needs > seconds:
            raise ContractTimeoutError("gave no answer")
        return ContractReading(b"yes", frozenset(), frozenset(), is_lasting=False)

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return None

    def ask(self, seconds: float, who: bytes = b"a stranger") -> bool:
        """Whether a new question after the block of now has an answer."""
        self.asked += 1
        header = HEAD.with_changes(number=self.number, state_root=self.number.to_bytes(32))
        try:
            return self.answers.ask(who + self.asked.to_bytes(8), header, seconds) == b"yes"
        except ContractTimeoutError:
            return False

    def end_block(self) -> None:
        """Let the rest of a second pass after the block before."""
        self.number += 1
        self.now = max(self.now, 1000.0 + self.number)

    def live(self, blocks: int, *limits: float) -> int:
        """Ask many questions with each of `limits` after each of `blocks`. How many have an answer."""
        answered = 0
        for _ in range(blocks):
            answered += sum(self.ask(seconds) for _ in range(QUESTIONS_A_BLOCK) for seconds in limits)
            self.end_block()
        return answered


@pytest.mark.parametrize("limits", [(POOL_SECONDS,), (BUILDING_SECONDS,), (BUILDING_SECONDS, POOL_SECONDS)])
def test_a_loop_costs_a_tenth_of_the_time_over_all_blocks(limits: tuple[float, ...]) -> None:
    machine = Machine(LOOP)
    machine.live(200, *limits)
    assert machine.spent <= POOL_SECONDS + 0.1 * 200


def test_a_loop_holds_up_few_of_the_blocks_that_are_built() -> None:
    machine, losses = Machine(LOOP), []
    for _ in range(200):
        before = machine.spent
        for _ in range(QUESTIONS_A_BLOCK):
            machine.ask(BUILDING_SECONDS)
        losses.append(machine.spent - before)
        machine.ask(POOL_SECONDS)
        machine.end_block()
    assert sum(loss > 0.1 for loss in losses) <= 0.05 * len(losses)


def test_an_answer_just_below_the_limit_costs_no_more_than_a_loop() -> None:
    machine = Machine(1.9)
    machine.live(200, POOL_SECONDS)
    assert machine.spent <= 3 * POOL_SECONDS + 0.15 * 200


@pytest.mark.parametrize("looping_blocks", [1, 5, 30, 100])
@pytest.mark.parametrize("seconds", [POOL_SECONDS, BUILDING_SECONDS])
def test_rules_that_are_right_again_answer_after_two_blocks(looping_blocks: int, seconds: float) -> None:
    machine = Machine(LOOP)
    machine.live(looping_blocks, BUILDING_SECONDS, POOL_SECONDS)
    machine.needs = 0.04
    machine.end_block()
    machine.end_block()
    assert [machine.ask(seconds) for _ in range(3)] == [True, True, True]


@pytest.mark.parametrize("seconds", [POOL_SECONDS, BUILDING_SECONDS])
def test_a_slow_contract_is_not_shut_out_for_ever(seconds: float) -> None:
    """It needs more than a question has after a loss."""
    machine = Machine(LOOP)
    machine.live(20, BUILDING_SECONDS, POOL_SECONDS)
    machine.needs = 0.3
    machine.live(120, seconds)
    assert machine.live(5, seconds) == 5 * QUESTIONS_A_BLOCK


def test_answers_to_one_sender_do_not_give_the_others_more_time() -> None:
    machine = Machine(LOOP)
    for _ in range(100):
        for _ in range(QUESTIONS_A_BLOCK):
            machine.ask(POOL_SECONDS, FRIEND)
            machine.ask(POOL_SECONDS)
        machine.end_block()
    assert machine.spent <= POOL_SECONDS + 0.1 * 100


def test_a_block_is_judged_without_a_time_limit_after_any_loss() -> None:
    machine = Machine(LOOP)
    machine.live(3, POOL_SECONDS)
    machine.needs = 100.0
    assert machine.ask(math.inf)
    before = machine.spent
    machine.end_block()
    machine.needs = 0.01
    assert machine.ask(POOL_SECONDS), "a question about a block is no loss"
    assert machine.spent > before


def test_threads_ask_a_contract_that_timed_out_one_after_the_other() -> None:
    machine = Machine(LOOP)
    machine.live(1, POOL_SECONDS)
    machine.now += 1
    machine.needs = 0.0
    started, go_on = threading.Event(), threading.Event()
    read = machine.read

    def held_up(contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        started.set()
        assert go_on.wait(30)
        return read(contract, data, header, seconds)

    machine.read = held_up  # type: ignore[method-assign]
    first: list[bool] = []
    thread = threading.Thread(target=lambda: first.append(machine.ask(POOL_SECONDS)))
    thread.start()
    assert started.wait(30)
    assert not machine.ask(BUILDING_SECONDS), "it waits a short time for its turn"
    go_on.set()
    thread.join(30)
    assert first == [True]
    assert machine.ask(POOL_SECONDS)
