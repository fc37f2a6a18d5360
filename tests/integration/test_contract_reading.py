"""Reading contracts on real states: hostile ones, and how long an answer is good for."""

import math
from collections.abc import Hashable, Iterable
from typing import Any

import pytest

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.devnet.permissioned_genesis import permissioning_alloc
from lacnode.evm import native_call, py_evm_limits
from lacnode.evm.transaction_validation import DELEGATION_PREFIX
from lacnode.permissioning.abi import encode_transaction_call
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.contract_reader import (
    ContractReading,
    ContractTimeoutError,
    ContractUnreadableError,
    NoContractError,
    StateUnavailableError,
)
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import from_hex, to_hex
from tests.support.contract_network import ACCOUNT_INGRESS, ACCOUNT_RULES, OUTSIDER, Contracts
from tests.support.evm_network import COINBASE, GAS_LIMIT, RICH, Network, hash_of, push, returned, signed

PLACE = b"\x77" * 20
OTHER = b"\x78" * 20
HEIR, GIVER = b"\x79" * 20, b"\x7a" * 20
PROPOSER, ANOTHER = b"\xa1" * 20, b"\xa2" * 20

SHANGHAI: dict[str, Any] = {"berlinBlock": 0, "londonBlock": 0, "zeroBaseFee": True, "shanghaiTime": 0}
REQUESTS = ("withdrawalRequestContractAddress", "consolidationRequestContractAddress", "depositContractAddress")
PRAGUE: dict[str, Any] = {**SHANGHAI, "cancunTime": 0, "pragueTime": 0, **dict.fromkeys(REQUESTS, "0x" + 20 * "99")}

SIZE_OF_PROPOSER = push(PROPOSER, 20) + b"\x3b\x50"


def reader_of(network: Network) -> ChainContracts:
    return ChainContracts(network.spec, network.engine, hash_of)


def with_code(code: bytes, other: bytes = b"") -> Network:
    accounts = {PLACE: {"code": "0x" + code.hex(), "balance": "0x0"}}
    if other:
        accounts[OTHER] = {"code": "0x" + other.hex(), "balance": "0x0"}
    return Network(accounts)


def takes_more(gas: int, *instructions: bytes) -> bytes:
    """Code that returns 1 if `instructions` take more than `gas`, else 0."""
    return returned(b"\x5a", *instructions, b"\x5a\x90\x03", push(gas, 4), b"\x10")


def allows(contract: AccountContract, header: BlockHeader) -> bool:
    return contract.decide(UnsignedTransaction(), RICH.address, header, math.inf).allowed


def blocks_by(network: Network, *proposers: bytes) -> list[BlockHeader]:
    """Empty blocks from number 1 on."""
    return [network.next_header(number=number, coinbase=by) for number, by in enumerate(proposers, 1)]


def read(network: Network, seconds: float = 5) -> ContractReading:
    return reader_of(network).read(PLACE, b"question", network.header, seconds)


def test_where_there_is_no_code_there_is_no_contract() -> None:
    with pytest.raises(NoContractError):
        read(Network())


def test_a_contract_that_destroyed_itself_is_none() -> None:
    network = with_code(push(0) + b"\xff")
    network.execute(signed(RICH, 0, to=PLACE))
    with pytest.raises(NoContractError):
        read(network)


@pytest.mark.parametrize(
    ("code", "seconds", "told"),
    [
        (bytes.fromhex("60006000fd"), 20, "reverted after"),
        (bytes.fromhex("fe"), 20, "failed: "),
        (bytes.fromhex("56"), 20, "failed: "),
        (bytes.fromhex("5b600056"), 0.5, "gave no answer within 0.5 s"),
        (bytes.fromhex("5b5a60006000600060003061fffff1600056"), 0.5, "gave no answer|failed: "),
    ],
    ids=["reverts", "burns its gas", "empty stack", "runs for ever", "calls itself for ever"],
)
def test_one_that_gives_no_answer_is_unreadable(code: bytes, seconds: float, told: str) -> None:
    with pytest.raises(ContractUnreadableError, match=told):
        read(with_code(code), seconds=seconds)


@pytest.mark.parametrize("size", [0, 31, 32, 33, 100_000])
def test_an_answer_of_any_size_is_handed_on_as_it_is(size: int) -> None:
    network = with_code(push(size, 4) + push(0) + b"\xf3")
    assert read(network).output == bytes(size)


def test_a_state_that_is_not_there_is_said_so() -> None:
    network = with_code(returned(push(1)))
    network.store.clear()
    with pytest.raises(StateUnavailableError):
        read(network)


@pytest.mark.parametrize("reads", ["41", "42", "43", "44", "45", "46", "47", "600040", "3031", "303f"])
def test_what_looks_at_block_or_balance_is_good_for_one_block(reads: str) -> None:
    assert read(with_code(bytes.fromhex(reads) + returned(push(1)))).is_lasting is False
    assert read(with_code(returned(push(1)))).is_lasting is True


def test_an_instruction_that_does_not_run_decides_nothing() -> None:
    assert read(with_code(returned(push(1)) + b"\x42")).is_lasting is True


def test_a_read_of_the_time_hidden_in_what_looks_like_data_is_seen() -> None:
    """The code jumps into what stands where the Solidity compiler writes its metadata."""
    reads = b"\x5b" + returned(b"\x42")
    code = bytes([0x60, 5, 0x56, 0xFE, 0xA1]) + reads + (len(reads) + 1).to_bytes(2)
    reading = read(with_code(code))
    assert int.from_bytes(reading.output) == Network().header.timestamp
    assert reading.is_lasting is False


@pytest.mark.parametrize(("value", "lasting"), [(0, True), (1, False)])
def test_a_call_that_carries_value_hangs_on_a_balance(value: int, lasting: bool) -> None:
    calls = push(0) + push(0) + push(0) + push(0) + push(value) + push(OTHER, 20) + b"\x5a\xf1"
    assert read(with_code(returned(calls))).is_lasting is lasting


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize(("balance", "changed_by"), [(1, HEIR), (0, GIVER)], ids=["heir exists", "has a balance"])
def test_an_answer_decided_by_the_gas_of_a_destruction_holds_as_long_as_this_gas(
    balance: int, changed_by: bytes
) -> None:
    """SELFDESTRUCT takes 25,000 gas more if it sends a balance to an account that does not exist."""
    destroys = push(0, 1) * 5 + push(OTHER, 20) + push(100_000, 4) + b"\xf1\x50"
    network = Network(
        {
            PLACE: {"code": "0x" + takes_more(20_000, destroys).hex(), "balance": "0x0"},
            OTHER: {"code": "0x" + (push(HEIR, 20) + b"\xff").hex(), "balance": hex(balance)},
            GIVER: {"code": "0x" + (push(OTHER, 20) + b"\xff").hex(), "balance": "0x0"},
        }
    )
    contract = AccountContract(reader_of(network), PLACE)
    before = allows(contract, network.header)
    network.execute(signed(RICH, 0, to=changed_by, value=1))
    assert allows(AccountContract(reader_of(network), PLACE), network.header) is not before
    assert allows(contract, network.header) is not before


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize(
    "looks",
    [
        SIZE_OF_PROPOSER,
        push(0) * 3 + push(PROPOSER, 20) + b"\x3c",
        push(0) * 5 + push(PROPOSER, 20) + b"\x5a\xf1\x50",
        push(0) * 5 + push(PROPOSER, 20) + b"\x5a\xf2\x50",
        push(0) * 4 + push(PROPOSER, 20) + b"\x5a\xf4\x50",
        push(0) * 4 + push(PROPOSER, 20) + b"\x5a\xfa\x50",
    ],
    ids=["EXTCODESIZE", "EXTCODECOPY", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"],
)
@pytest.mark.parametrize("first", [ANOTHER, PROPOSER], ids=["kept of another proposer", "kept of the proposer"])
def test_an_answer_decided_by_who_proposed_the_block_is_that_of_a_node_without_kept_answers(
    first: bytes, looks: bytes
) -> None:
    """From Shanghai on, the account of the proposer costs 2,500 gas less than that of another one (EIP-3651)."""
    network = Network({PLACE: {"code": "0x" + takes_more(1_000, looks).hex(), "balance": "0x0"}}, **SHANGHAI)
    kept = AccountContract(reader_of(network), PLACE)
    for header in blocks_by(network, first, first, ANOTHER, PROPOSER, COINBASE, PROPOSER):
        expected = header.coinbase != PROPOSER
        assert allows(AccountContract(reader_of(network), PLACE), header) is expected
        assert allows(kept, header) is expected


@pytest.mark.usefixtures("each_engine")
@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")
@pytest.mark.parametrize("looks", [SIZE_OF_PROPOSER, push(PROPOSER, 20) + b"\xff"], ids=["EXTCODESIZE", "SELFDESTRUCT"])
def test_an_answer_decided_by_a_call_that_can_pay_for_the_proposer_alone_is_that_of_the_block(looks: bytes) -> None:
    """No engine reads the account of another proposer, because the call has too little gas."""
    calls = push(0) * 5 + push(OTHER, 20) + push(5_500 if looks[-1] == 0xFF else 1_000, 4) + b"\xf1"
    accounts = {PLACE: returned(calls), OTHER: looks}
    network = Network(
        {address: {"code": "0x" + code.hex(), "balance": "0x0"} for address, code in accounts.items()}, **SHANGHAI
    )
    kept = AccountContract(reader_of(network), PLACE)
    for header in blocks_by(network, ANOTHER, PROPOSER, PROPOSER, ANOTHER):
        expected = header.coinbase == PROPOSER
        assert allows(AccountContract(reader_of(network), PLACE), header) is expected
        assert allows(kept, header) is expected


@pytest.mark.usefixtures("each_engine")
def test_an_answer_hangs_on_the_account_that_the_genesis_pays_instead_of_the_proposer() -> None:
    network = Network(
        {PLACE: {"code": "0x" + takes_more(1_000, SIZE_OF_PROPOSER).hex(), "balance": "0x0"}},
        transitions={"ibft2": [{"block": 3, "miningBeneficiary": to_hex(PROPOSER)}]},
        **SHANGHAI,
    )
    reader = Counting(network)
    kept = AccountContract(reader, PLACE)
    for header in blocks_by(network, ANOTHER, COINBASE, ANOTHER, COINBASE):
        assert allows(kept, header) is (header.number < 3)
    assert reader.calls == 2


@pytest.mark.usefixtures("each_engine")
def test_an_answer_that_does_not_hang_on_the_proposer_is_kept_for_every_proposer() -> None:
    alloc = permissioning_alloc([RICH.address], [], [RICH.address])
    network = Network({from_hex(address): fields for address, fields in alloc.items()}, **SHANGHAI)
    reader = Counting(network)
    contract = AccountContract(reader, ACCOUNT_INGRESS)
    for header in blocks_by(network, ANOTHER, PROPOSER, COINBASE, ANOTHER):
        assert allows(contract, header)
    assert reader.calls == 1


@pytest.mark.usefixtures("each_engine")
def test_memory_does_not_decide_whether_a_block_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each engine counts memory in its own way, and Besu does not count it."""
    for module in (native_call, py_evm_limits):
        monkeypatch.setattr(module, "MAX_CALL_MEMORY_BYTES", 100_000)
    network = with_code(push(1) + push(200_000) + b"\x52" + returned(push(1)))
    with pytest.raises(ContractTimeoutError):
        read(network, seconds=20)
    assert int.from_bytes(read(network, seconds=math.inf).output) == 1


@pytest.mark.usefixtures("each_engine")
def test_no_payload_is_too_large_for_our_own_contracts() -> None:
    """A node that knows the answer to a small payload and a node that does not must agree about a block."""
    contracts = Contracts()
    reader = reader_of(contracts.network)
    header = contracts.network.header.with_changes(gas_limit=4_000_000)
    large = UnsignedTransaction(to=PLACE, gas_limit=4_000_000, data=b"\1" * 248_000)
    with pytest.raises(ContractUnreadableError):
        reader.read(ACCOUNT_INGRESS, encode_transaction_call(large, RICH.address), header, math.inf)
    for sender, is_listed in ((RICH.address, True), (OUTSIDER.address, False)):
        assert AccountContract(reader, ACCOUNT_INGRESS).decide(large, sender, header, math.inf).allowed is is_listed


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("copies", [1, 2])
def test_a_payload_that_fits_into_a_block_is_not_too_large_for_other_contracts(copies: int) -> None:
    """Besu gives the gas of the block. It would have the block of such a transaction, and this node would refuse it."""
    # The rules copy the whole question into memory, once behind the other.
    copying = b"".join(b"\x36" + push(0) + (b"\x36" if copy else push(0)) + b"\x37" for copy in range(copies))
    network = with_code(copying + returned(push(1)))
    large = encode_transaction_call(
        UnsignedTransaction(to=PLACE, gas_limit=50_000_000, data=b"\1" * 1_500_000), RICH.address
    )
    reading = reader_of(network).read(PLACE, large, network.header, math.inf)
    assert int.from_bytes(reading.output) == 1
    endless = with_code(bytes.fromhex("5b600056"))
    with pytest.raises(ContractUnreadableError, match="Out of gas"):
        reader_of(endless).read(PLACE, bytes(70_000), endless.header, math.inf)


@pytest.mark.usefixtures("each_engine")
def test_a_proposer_with_a_delegation_makes_no_known_contract_unknown() -> None:
    alloc = permissioning_alloc([RICH.address], [], [RICH.address])
    network = Network(
        {
            COINBASE: {"code": "0x" + (DELEGATION_PREFIX + OTHER).hex(), "balance": "0x0"},
            **{from_hex(address): fields for address, fields in alloc.items()},
        },
        **PRAGUE,
    )
    (header,) = blocks_by(network, COINBASE)
    reader = Counting(network)
    contract = AccountContract(reader, ACCOUNT_INGRESS)
    for data in (b"", b"another payload"):
        call = UnsignedTransaction(to=PLACE, gas_limit=21_000, data=data)
        assert contract.decide(call, RICH.address, header, math.inf).allowed
    assert reader.calls == 1


def test_an_answer_has_a_bound_in_gas_that_is_the_same_on_every_machine() -> None:
    """Three megabytes of memory cost more than an answer may and less than a block has."""
    network = with_code(push(1) + push(3_200_000) + b"\x52" + returned(push(1)))
    assert network.call(to=PLACE, gas=GAS_LIMIT).success
    with pytest.raises(ContractUnreadableError, match="failed: Out of gas") as caught:
        read(network, seconds=600)
    assert not isinstance(caught.value, ContractTimeoutError)


def test_data_after_a_push_is_no_instruction() -> None:
    assert read(with_code(returned(push(0x42)))).is_lasting is True


def test_what_a_called_contract_looks_at_counts_too() -> None:
    calls = push(32) + push(0) + push(0) + push(0) + push(OTHER, 20) + b"\x5a\xfa" + push(32) + push(0) + b"\xf3"
    reading = read(with_code(calls, returned(b"\x42")))
    assert {PLACE, OTHER} <= reading.accounts
    assert reading.is_lasting is False
    assert read(with_code(calls, returned(push(1)))).is_lasting is True


class Counting:
    """Counts the calls that a reader makes."""

    def __init__(self, network: Network) -> None:
        self.calls = 0
        self._network = network

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.calls += 1
        return reader_of(self._network).read(contract, data, header, seconds)

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return reader_of(self._network).fingerprint(accounts, header)


def test_no_stale_answer_survives_a_change_of_rules() -> None:
    """Every change is seen from the next block on, and what does not concern the rules costs no further call."""
    contracts = Contracts()
    reader = Counting(contracts.network)
    rules = AccountContract(reader, ACCOUNT_INGRESS)
    call = UnsignedTransaction(to=PLACE, gas_limit=21_000)

    def allowed() -> bool:
        return rules.decide(call, OUTSIDER.address, contracts.network.header, 5).allowed

    assert allowed() is False
    for _ in range(5):
        contracts.network.execute(signed(RICH, contracts.next_nonce(), to=PLACE, value=1))
        assert allowed() is False
    assert reader.calls == 1
    for expected, signature in [(True, "addAccount(address)"), (False, "removeAccount(address)")] * 3:
        assert contracts.send(ACCOUNT_RULES, signature, OUTSIDER.address)
        assert allowed() is expected
    assert contracts.send(ACCOUNT_RULES, "addAccount(address)", OUTSIDER.address)
    assert allowed() is True
    contracts.send(ACCOUNT_RULES, "setGasCeiling(uint128)", 20_000)
    assert allowed() is False
    contracts.send(ACCOUNT_INGRESS, "removeContract(bytes32)", b"rules".ljust(32, b"\0"))
    assert allowed() is True


def test_one_answer_is_good_for_all_payloads_under_our_own_contracts() -> None:
    contracts = Contracts()
    reader = Counting(contracts.network)
    rules = AccountContract(reader, ACCOUNT_INGRESS)
    for number in range(20):
        call = UnsignedTransaction(to=PLACE, gas_limit=21_000, value=number, data=bytes([number]))
        assert rules.decide(call, RICH.address, contracts.network.header, 5).allowed
    assert reader.calls == 1
