"""Validators with different engines and different pasts judge blocks by hostile rules contracts: they never differ.

Each has a chain of its own. A proposer that ignores the rules makes a block at each height. All must accept it, or all must
refuse it. Where they refuse it, one that keeps the rules makes the block, and all must accept that.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from lacnode.chain import chain_contracts
from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import ALLOW_ALL_ACCOUNTS, AccountPermissions
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.chain_genesis import NOW, PAYER, genesis
from tests.support.chain_network import sealed
from tests.support.chain_transactions import Offer, transaction
from tests.support.hostile_rules import (
    ANSWERS,
    CHANGE,
    OTHER,
    RULES,
    STORED,
    HostileContracts,
    SlowReader,
    rules_contract,
)

HEIGHTS = 8
SEEDS = 6
CALL_GAS = 100_000
"""For one answer, in place of ten million: py-evm takes seconds for a loop of these."""

LONDON: Mapping[str, object] = {"londonBlock": 0, "zeroBaseFee": True}
FORKS: Mapping[str, Mapping[str, object]] = {
    "berlin": {},
    "london": LONDON,
    "cancun": {**LONDON, "shanghaiTime": 0, "cancunTime": 0},
}

pytestmark = [
    pytest.mark.skipif(why_no_library() is not None, reason=str(why_no_library())),
    pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _little_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_contracts, "RULE_CALL_GAS", CALL_GAS)


class Validator:
    """A chain on `engine`. `read` makes its reader of contracts. None is a proposer that ignores the rules."""

    def __init__(
        self,
        document: dict[str, object],
        engine: EngineKind,
        read: Callable[[ContractReader], ContractReader] | None = lambda reader: reader,
    ) -> None:
        self._spec, self._database = parse_genesis(document), MemoryDatabase()
        self._kind, self._read = engine, read
        self.restart()

    def restart(self) -> None:
        """Open the chain again, without the answers that are known."""
        engine = make_engine(self._spec, DatabaseNodeStore(self._database), kind=self._kind)
        contracts = ChainContracts(self._spec, engine, lambda number: self.chain.hash_at(number))
        self.permissions = (
            ALLOW_ALL_ACCOUNTS
            if self._read is None
            else AccountPermissions(contract=AccountContract(self._read(contracts), RULES))
        )
        self.chain = Blockchain(self._spec, self._database, engine, permissions=self.permissions, now=lambda: NOW)

    def build(self, transactions: Sequence[Transaction], seconds: int, proposer: int) -> Block:
        """A block `seconds` after the last one, of the transactions that the rules of this validator permit."""
        head = self.chain.head.header
        validators = self.chain.validators_after(head)
        extra = encode_extra_data(ExtraData(bytes(32), validators, None))
        coinbase = validators[proposer % len(validators)]
        offers = [Offer(each) for each in transactions]
        return self.chain.build_block(head.timestamp + seconds, coinbase, extra, offers, time.monotonic() + 60)

    def meet(self, transactions: Sequence[Transaction]) -> None:
        """Ask as for the pool, so that answers, failures and lost time are known."""
        for each in transactions:
            try:
                self.permissions.may_enter_pool(each, PAYER.address, self.chain.head.header)
            except ContractUnreadableError:
                continue

    def judge(self, block: Block) -> str | None:
        """Why a proposal is refused, None if it is accepted."""
        return refusal_by(lambda: self.chain.check_proposal(block))

    def import_(self, block: Block) -> str | None:
        """Why a block with the seals of all validators is refused, None if it is the head now."""
        return refusal_by(lambda: self.chain.import_block(sealed(block, self.chain)))


def refusal_by(judgement: Callable[[], object]) -> str | None:
    try:
        judgement()
    except BlockRefusedError as refused:
        return f"{type(refused).__name__} {refused.rule}: {refused}"
    return None


class Stage:
    """Four validators: two engines, and on each one that asks for its pool before. Of these the one on Python is slow. The
    others start again before each block."""

    def __init__(self, rng: random.Random, rules: bytes, other: bytes, forks: Mapping[str, object]) -> None:
        document: dict[str, Any] = genesis()
        document["config"] |= forks
        document["alloc"] |= {
            to_hex(address): {"balance": "0x7", "code": to_hex(code)}
            for address, code in ((RULES, rules), (OTHER, other))
        }
        self._rng = rng
        self._slow = Validator(document, EngineKind.PYTHON, SlowReader)
        self._asking = Validator(document, EngineKind.NATIVE)
        self._forgetful = [Validator(document, kind) for kind in (EngineKind.PYTHON, EngineKind.NATIVE)]
        self._rebel = Validator(document, EngineKind.NATIVE, None)
        self._all = [self._slow, self._asking, *self._forgetful]
        self.seen: Counter[str] = Counter()

    def play(self, heights: int) -> None:
        for height in range(heights):
            self._make_block(height)
            heads = {validator.chain.head.hash for validator in (*self._all, self._rebel)}
            assert len(heads) == 1, f"other blocks at height {height + 1}"

    def _make_block(self, height: int) -> None:
        transactions = self._transactions()
        for validator in (self._slow, self._asking):
            validator.meet(transactions)
        for validator in self._forgetful:
            validator.restart()
        seconds = self._rng.randint(1, 9)
        block = self._rebel.build(transactions, seconds, height)
        refusal = self._judged(block)
        self.seen["accepted" if refusal is None else refusal] += 1
        if refusal is not None:
            assert {validator.import_(block) for validator in self._all} == {refusal}
            block = self._rng.choice(self._all).build(transactions, seconds, height)
            assert self._judged(block) is None, "a block by the rules is refused"
        assert {validator.import_(block) for validator in (*self._all, self._rebel)} == {None}

    def _judged(self, block: Block) -> str | None:
        """The judgement that all validators share."""
        judgements = [validator.judge(block) for validator in self._all]
        assert len(set(judgements)) == 1, judgements
        return judgements[0]

    def _transactions(self) -> list[Transaction]:
        """One or two: of payloads of any length, or calls of the rules contract that change what it stores."""
        head = self._rebel.chain.head.header
        nonce = self._rebel.chain.state_at(head).nonce(PAYER.address)
        return [self._transaction(nonce + number) for number in range(self._rng.randint(1, 2))]

    def _transaction(self, nonce: int) -> Transaction:
        if self._rng.random() < 0.4:
            return transaction(nonce, RULES, gas=1_000_000, data=CHANGE)
        return transaction(nonce, gas=100_000, data=self._rng.randbytes(self._rng.choice((0, 1, 31, 32, 33, 500))))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_all_validators_judge_alike_by_each_answer(answer: bytes) -> None:
    stage = Stage(random.Random(1), rules_contract([answer], STORED), b"", LONDON)
    stage.play(3)


@pytest.mark.parametrize("fork", FORKS)
def test_all_validators_judge_alike_by_random_rules(fork: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        rng = random.Random(f"{fork} {seed}")
        contracts = HostileContracts(rng)
        stage = Stage(rng, contracts.rules, contracts.other, FORKS[fork])
        stage.play(HEIGHTS)
        seen += stage.seen
    refused = seen.total() - seen["accepted"]
    assert min(seen["accepted"], refused) >= SEEDS * HEIGHTS // 8, seen
