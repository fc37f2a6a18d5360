"""A remembered answer is given as long as it holds, and not a block longer."""

import math
from collections.abc import Hashable, Iterable

import pytest

from lacnode.permissioning.contract_answer_cache import (
    MAX_OUTPUT_BYTES,
    MAX_READ_ACCOUNTS,
    ContractAnswerCache,
)
from lacnode.permissioning.contract_reader import (
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
    StateUnavailableError,
)
from lacnode.primitives.header import BlockHeader
from tests.support.rpc_chain import node

RULES, STORAGE = b"\x01" * 20, b"\x02" * 20


class Contract:
    """A contract whose answer hangs on what two accounts hold."""

    def __init__(self) -> None:
        self.held = {RULES: 0, STORAGE: 0}
        self.is_lasting = True
        self.code_hashes = frozenset({b"ingress", b"rules"})
        self.failure: ContractUnreadableError | None = None
        self.calls = 0

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return ContractReading(
            data + bytes(self.held.values()), frozenset(self.held), self.code_hashes, self.is_lasting
        )

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return tuple(self.held[account] for account in sorted(accounts))


def header(number: int) -> BlockHeader:
    return node().chain.head.header.with_changes(number=number, state_root=number.to_bytes(32))


def test_an_answer_lasts_over_blocks_that_change_nothing_of_it() -> None:
    contract = Contract()
    answers = ContractAnswerCache(contract, RULES)
    assert [answers.ask(b"x", header(number), 1) for number in range(5)] == [b"x\0\0"] * 5
    assert contract.calls == 1


@pytest.mark.parametrize("changed", [RULES, STORAGE])
def test_a_change_is_seen_by_the_next_question(changed: bytes) -> None:
    contract = Contract()
    answers = ContractAnswerCache(contract, RULES)
    before = answers.ask(b"x", header(1), 1)
    contract.held[changed] = 1
    assert answers.ask(b"x", header(1), 1) == before, "the state of block 1 is what it was"
    assert answers.ask(b"x", header(2), 1) != before


def test_an_answer_that_hangs_on_the_block_is_asked_for_in_every_block() -> None:
    contract = Contract()
    contract.is_lasting = False
    answers = ContractAnswerCache(contract, RULES)
    for number in (1, 1, 2, 2, 3):
        answers.ask(b"x", header(number), 1)
    assert contract.calls == 3


@pytest.mark.parametrize("seen", [{"coinbase": RULES}, {"timestamp": 7}], ids=["proposer", "time"])
def test_two_blocks_of_one_number_and_state_have_an_answer_each(seen: dict[str, bytes | int]) -> None:
    contract = Contract()
    contract.is_lasting = False
    answers = ContractAnswerCache(contract, RULES)
    for block in (header(1), header(1).with_changes(**seen)):
        answers.ask(b"x", block, 1)
    assert contract.calls == 2


def test_two_questions_have_two_answers() -> None:
    answers = ContractAnswerCache(Contract(), RULES)
    assert answers.ask(b"x", header(1), 1) != answers.ask(b"y", header(1), 1)


def test_a_failure_holds_for_its_block_alone() -> None:
    contract = Contract()
    contract.failure = ContractUnreadableError("reverted")
    answers = ContractAnswerCache(contract, RULES)
    for _ in range(2):
        with pytest.raises(ContractUnreadableError, match="reverted"):
            answers.ask(b"x", header(1), 1)
    assert contract.calls == 1
    contract.failure = None
    assert answers.ask(b"x", header(2), 1) == b"x\0\0"


def test_a_state_that_is_not_there_yet_is_not_remembered() -> None:
    contract = Contract()
    contract.failure = StateUnavailableError("cannot be read")
    answers = ContractAnswerCache(contract, RULES)
    with pytest.raises(StateUnavailableError):
        answers.ask(b"x", header(1), 1)
    contract.failure = None
    assert answers.ask(b"x", header(1), 1) == b"x\0\0"


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    contract = Contract()
    answers = ContractAnswerCache(contract, RULES, capacity=2)
    for question in (b"x", b"y", b"z", b"x"):
        answers.ask(question, header(1), 1)
    assert contract.calls == 4
    answers.ask(b"x", header(1), 1)
    assert contract.calls == 4


@pytest.mark.parametrize(("known", "calls"), [({b"ingress", b"rules"}, 1), ({b"ingress"}, 2), (set(), 2)])
def test_only_of_known_code_one_answer_is_good_for_all_questions_with_one_relevant_question(
    known: set[bytes], calls: int
) -> None:
    contract = Contract()
    answers = ContractAnswerCache(contract, RULES, known_code_hashes=frozenset(known))
    for question in (b"x", b"y"):
        answers.ask(question, header(1), 1, relevant_question=b"the same sender and target")
    assert contract.calls == calls


@pytest.mark.parametrize(("known", "is_answered"), [({b"ingress", b"rules"}, True), ({b"ingress"}, False)])
def test_a_question_that_is_too_large_is_answered_like_a_small_one_of_known_code_alone(
    known: set[bytes], is_answered: bool
) -> None:
    class Small(Contract):
        def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
            self.failure = ContractUnreadableError("needs more gas") if len(data) > 10 else None
            return super().read(contract, data, header, seconds)

    answers = ContractAnswerCache(Small(), RULES, known_code_hashes=frozenset(known))
    if is_answered:
        assert answers.ask(b"large" * 10, header(1), math.inf, relevant_question=b"small") == b"small\0\0"
        return
    for seconds in (1, math.inf):
        with pytest.raises(ContractUnreadableError, match="needs more gas"):
            answers.ask(b"large" * 10, header(1), seconds, relevant_question=b"small")


def test_a_timeout_of_the_small_question_does_not_decide_about_a_block() -> None:
    class Slow(Contract):
        def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
            if len(data) > 10:
                raise ContractUnreadableError("needs more gas")
            if seconds < math.inf:
                raise ContractTimeoutError("gave no answer")
            return super().read(contract, data, header, seconds)

    answers = ContractAnswerCache(Slow(), RULES, known_code_hashes=Contract().code_hashes)
    with pytest.raises(ContractTimeoutError):
        answers.ask(b"large" * 10, header(1), 1, relevant_question=b"small")
    assert answers.ask(b"large" * 10, header(1), math.inf, relevant_question=b"small") == b"small\0\0"


def test_a_relevant_question_is_asked_again_when_the_rules_change() -> None:
    contract = Contract()
    answers = ContractAnswerCache(contract, RULES, known_code_hashes=contract.code_hashes)
    before = answers.ask(b"x", header(1), 1, relevant_question=b"a sender")
    contract.held[STORAGE] = 1
    assert answers.ask(b"x", header(2), 1, relevant_question=b"a sender") != before
    contract.code_hashes |= {b"another contract"}
    contract.held[RULES] = 1
    answers.ask(b"x", header(3), 1, relevant_question=b"a sender")
    assert answers.ask(b"y", header(3), 1, relevant_question=b"a sender") == b"y\1\1", "it is no longer known code"


class TestAContractThatIsTooSlow:
    def slow(self) -> tuple[Contract, ContractAnswerCache]:
        contract = Contract()
        contract.failure = ContractTimeoutError("gave no answer within 1 s")
        return contract, ContractAnswerCache(contract, RULES)

    def test_is_not_asked_by_each_sender(self) -> None:
        contract, answers = self.slow()
        for question in range(10):
            with pytest.raises(ContractTimeoutError):
                answers.ask(bytes([question]), header(1), 1)
        assert contract.calls < 3

    def test_judges_no_block_by_its_slowness(self) -> None:
        """The node was too busy to have an answer in time. It must not find a block invalid that others find valid."""
        contract, answers = self.slow()
        for question in (b"x", b"x", b"y", b"z"):
            with pytest.raises(ContractTimeoutError):
                answers.ask(question, header(1), 1)
        contract.failure = None
        assert answers.ask(b"x", header(1), math.inf) == b"x\0\0"
        assert answers.ask(b"z", header(1), math.inf) == b"z\0\0"


def test_a_flood_for_an_answer_is_not_kept() -> None:
    answers = ContractAnswerCache(Contract(), RULES)
    with pytest.raises(ContractUnreadableError, match=r"unexpected answer: 4097 bytes"):
        answers.ask(bytes(MAX_OUTPUT_BYTES - 1), header(1), 1)


def test_answers_just_below_the_time_limit_do_not_hold_up_all_others() -> None:
    """Thousands of connections are decided about after a block, one after the other."""
    now = [0.0]

    class Slow(Contract):
        def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
            now[0] += 1.9
            return super().read(contract, data, header, seconds)

    contract = Slow()
    answers = ContractAnswerCache(contract, RULES, clock=lambda: now[0])
    refused = 0
    for number in range(100):
        try:
            answers.ask(number.to_bytes(2), header(1), 2)
        except ContractTimeoutError:
            refused += 1
    assert (contract.calls, refused) == (3, 97)
    assert answers.ask(b"a block is judged all the same", header(1), math.inf)
    now[0] += 1
    assert answers.ask(b"x", header(2), 2)


@pytest.mark.parametrize(("count", "calls"), [(MAX_READ_ACCOUNTS, 1), (MAX_READ_ACCOUNTS + 1, 2)])
def test_an_answer_that_depends_on_many_accounts_is_kept_for_its_block_alone(count: int, calls: int) -> None:
    """A contract could read thousands of accounts for each question, and their addresses would fill the memory."""
    contract = Contract()
    contract.held = {number.to_bytes(20): 0 for number in range(count)}
    answers = ContractAnswerCache(contract, RULES)
    for number in (1, 1, 2, 2):
        assert answers.ask(b"x", header(number), 1) == b"x" + bytes(count)
    assert contract.calls == calls
