"""A hostile rules contract on the virtual clock: validators never split over its answers, however they come.

Its answers change with every block. Some are reverts, nonsense, or so slow that a slow machine does not wait for them when
it builds a block. One validator ignores it and puts its transaction into every block. The decisions are those of the node.

The contract is one in Python, whose answers are known, or code that both engines execute, each for two of the validators.
"""

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from lacnode.chain import chain_contracts
from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.contract_reader import (
    ContractReader,
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
)
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from tests.simulation.campaign import recovery_bound_ms
from tests.simulation.chain import SimulatedChain, Speeds
from tests.simulation.ledger import TRANSACTION, Rules
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import STEADY, must_reach
from tests.support.evm_network import Network
from tests.support.hostile_rules import COINBASE, NUMBER, OTHER, RULES, TIMESTAMP, HostileContracts, SlowReader

SENDER = bytes(19) + b"\x01"
ANSWER_SECONDS = 0.4
"""How long the slow answer takes on a fast machine. A slow machine has no time for it when it builds a block."""

HEIGHT = 12
PERMITS, REFUSES, REVERTS, NONSENSE, SLOW = range(5)
SPEEDS = [Speeds(), Speeds(), Speeds(), Speeds(check_ms=200, slowness=3.0)]
REBEL = SPEEDS[0]
"""The validator that ignores the rules. It is another object than the others' speeds, and is known by that."""


class HostileRules:
    """The rules contract as one machine reads it."""

    def __init__(self, slowness: float) -> None:
        self._slowness = slowness

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        mood = header.number % 5
        if mood == REVERTS:
            raise ContractUnreadableError("reverted after 9,999,999 gas")
        if mood == SLOW and ANSWER_SECONDS * self._slowness > seconds:
            raise ContractTimeoutError(f"gave no answer within {seconds:g} s")
        output = bytes(100_000) if mood == NONSENSE else (0 if mood == REFUSES else 1).to_bytes(32)
        return ContractReading(output, frozenset(), frozenset(), is_lasting=False)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return header.number


class ExecutedRules:
    """A rules contract of random answers, as one of two engines reads it. Its state is that of the genesis in every block:
    the simulation executes none. The block's number, time and proposer are those of the simulated block."""

    def __init__(self, network: Network, kind: EngineKind, hash_at: Callable[[int], bytes | None]) -> None:
        engine = make_engine(network.spec, network.store, kind=kind)
        self._contracts = ChainContracts(network.spec, engine, hash_at)
        self._root = network.header.state_root

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        return self._contracts.read(contract, data, header.with_changes(state_root=self._root), seconds)

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return self._contracts.fingerprint(accounts, header.with_changes(state_root=self._root))


def scripted(chain: SimulatedChain) -> ContractReader:
    return HostileRules(chain._speeds.slowness)


def executed(network: Network) -> Callable[[SimulatedChain], ContractReader]:
    """What reads the contract of `network` for a chain: each engine serves two validators, a fast and the slow one among
    those of py-evm."""
    kinds = (EngineKind.NATIVE, EngineKind.PYTHON)

    def reader(chain: SimulatedChain) -> ContractReader:
        (place,) = (place for place, speeds in enumerate(SPEEDS) if speeds is chain._speeds)
        read = ExecutedRules(network, kinds[place % 2], chain.hash_at)
        return SlowReader(read) if chain._speeds.slowness > 1 else read

    return reader


@dataclass
class Judges:
    """The rules of each chain, as `reader` reads them, and how the chains have judged each block: by its hash, whether its
    senders were accepted."""

    reader: Callable[[SimulatedChain], ContractReader]
    judgements: dict[bytes, set[bool]] = field(default_factory=dict)
    _permissions: dict[SimulatedChain, AccountPermissions] = field(default_factory=dict)

    def permissions_of(self, chain: SimulatedChain) -> AccountPermissions:
        if chain not in self._permissions:
            self._permissions[chain] = AccountPermissions(contract=AccountContract(self.reader(chain), RULES))
        return self._permissions[chain]

    def check_senders(self, chain: SimulatedChain, block: Block) -> None:
        """Check a block of others by the node's own rule, on the state before it."""
        verifier = BlockVerifier(chain.spec, None, lambda: 0.0, self.permissions_of(chain))  # type: ignore[arg-type]
        senders = [SENDER for _ in block.body.transactions]
        judgements = self.judgements.setdefault(chain._hash_of(block), set())
        try:
            verifier._check_senders(block, senders, chain.head.header, UNLIMITED)
        except BlockRefusedError:
            judgements.add(False)
            raise
        judgements.add(True)

    def assert_they_agree(self) -> None:
        """Blocks were accepted and refused, and none by one chain alone."""
        assert {frozenset(found) for found in self.judgements.values()} == {frozenset({True}), frozenset({False})}


def without_transaction(block: Block) -> Block:
    return Block(replace(block.header, transactions_root=EMPTY_TRIE_ROOT), BlockBody())


@contextmanager
def hostile_rules(judges: Judges) -> Iterator[SimulatedNetwork]:
    """A network whose blocks have a transaction if the builder's rules permit it."""
    build, check, import_ = SimulatedChain.build_block, SimulatedChain.check_proposal, SimulatedChain.import_block

    def built(
        self: SimulatedChain,
        timestamp: int,
        coinbase: bytes,
        extra_data: bytes,
        candidates: Iterable[object],
        deadline: float,
        budget: ExecutionBudget = UNLIMITED,
    ) -> Block:
        block = build(self, timestamp, coinbase, extra_data, candidates, deadline, budget)
        if self._speeds is REBEL:
            return block
        try:
            decision = judges.permissions_of(self).may_be_selected(TRANSACTION, SENDER, self.head.header)
        except ContractUnreadableError:
            return without_transaction(block)
        return block if decision.allowed else without_transaction(block)

    def checked(
        self: SimulatedChain, block: Block, budget: ExecutionBudget = UNLIMITED, *, is_prepared: bool = False
    ) -> None:
        check(self, block, budget, is_prepared=is_prepared)
        judges.check_senders(self, block)

    def imported(self: SimulatedChain, block: Block, budget: ExecutionBudget = UNLIMITED) -> bool:
        # As in the node: the import of a block that others have agreed on checks its senders too.
        if self.ledger.number_of(self._hash_of(block)) is None and block.header.parent_hash == self.head.hash:
            judges.check_senders(self, block)
        return import_(self, block, budget)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SimulatedChain, "build_block", built)
        patched.setattr(SimulatedChain, "check_proposal", checked)
        patched.setattr(SimulatedChain, "import_block", imported)
        rules = Rules(block_period_ms=1000, request_timeout_ms=2000, epoch_length=30_000, has_transactions=True)
        network = SimulatedNetwork(
            len(SPEEDS), random.Random(1), rules=rules, weather=STEADY, speeds=lambda index: SPEEDS[index]
        )
        network.start()
        yield network


def moods_with_transaction(network: SimulatedNetwork) -> set[int]:
    """What the contract did on the states on which a block with the transaction was built."""
    blocks = network.nodes[-1].disk.ledger.blocks[1:]
    return {(block.number - 1) % 5 for block in blocks if block.body.transactions}


@simulated
async def test_validators_agree_on_every_answer() -> None:
    """The chain goes on, no transaction is in a block against the rules, and the slow machine keeps up."""
    judges = Judges(scripted)
    with hostile_rules(judges) as network:
        await must_reach(network, HEIGHT, HEIGHT * recovery_bound_ms(network))
        assert moods_with_transaction(network) == {PERMITS, SLOW}
    judges.assert_they_agree()


@pytest.mark.skipif(why_no_library() is not None, reason=str(why_no_library()))
@pytest.mark.parametrize("seed", range(4))
@simulated
async def test_validators_with_both_engines_agree_on_every_answer_of_real_code(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain goes on, and no block is accepted by some validators and refused by others."""
    # py-evm takes seconds for a loop of ten million gas.
    monkeypatch.setattr(chain_contracts, "RULE_CALL_GAS", 100_000)
    contracts = HostileContracts(random.Random(seed), (NUMBER, TIMESTAMP, COINBASE))
    judges = Judges(executed(Network({RULES: {"code": contracts.rules.hex()}, OTHER: {"code": contracts.other.hex()}})))
    with hostile_rules(judges) as network:
        await must_reach(network, HEIGHT, HEIGHT * recovery_bound_ms(network))
    judges.assert_they_agree()
