"""The answer of a validator contract: read as Besu reads it, and every other answer an error that names the block."""

import pytest

from lacnode.chain.validator_contract import (
    GET_VALIDATORS,
    ValidatorContract,
    ValidatorContractError,
    decode_validators,
)
from lacnode.consensus.bft.payloads import MAX_VALIDATORS
from lacnode.permissioning.contract_reader import (
    ContractReading,
    ContractUnreadableError,
    NoContractError,
    StateUnavailableError,
)
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.storage.storage_errors import StorageCorruptError
from tests.unit.consensus.test_network import make_block

CONTRACT = b"\x88" * 20
HEADER = make_block(None, bytes(20), ()).header
ONE, TWO = b"\x01" * 20, b"\x02" * 20


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


def answer(*addresses: bytes) -> bytes:
    """The ABI encoding of `address[]`."""
    return word(32) + word(len(addresses)) + b"".join(word(address) for address in addresses)


class Reader:
    """A contract that gives this answer, and counts the questions."""

    def __init__(self, result: bytes | ContractUnreadableError) -> None:
        self.result = result
        self.questions: list[tuple[bytes, bytes]] = []

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        self.questions.append((contract, data))
        if isinstance(self.result, ContractUnreadableError):
            raise self.result
        return ContractReading(self.result, frozenset(), frozenset(), True)

    def fingerprint(self, accounts: object, header: BlockHeader) -> None:
        raise NotImplementedError


def test_the_selector_is_that_of_get_validators() -> None:
    assert keccak256(b"getValidators()")[:4] == GET_VALIDATORS


class TestAnswer:
    def test_is_sorted(self) -> None:
        assert decode_validators(answer(TWO, ONE)) == (ONE, TWO)

    def test_may_be_followed_by_other_bytes(self) -> None:
        assert decode_validators(answer(ONE) + b"more") == (ONE,)

    def test_may_start_at_another_offset(self) -> None:
        assert decode_validators(word(64) + word(0) + answer(ONE)[32:]) == (ONE,)

    def test_may_have_as_many_as_a_message_may_justify(self) -> None:
        most = [number.to_bytes(20) for number in range(1, MAX_VALIDATORS + 1)]
        assert decode_validators(answer(*most)) == tuple(most)

    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            (b"", "returned 0 bytes"),
            (word(1), "not a list of addresses"),
            (word(32), "not a list of addresses"),
            (word(2**255) + word(1), "not a list of addresses"),
            (answer(), "names no validator"),
            (answer(*[number.to_bytes(20) for number in range(1, 1001)]), "names 1000 validators, more than 256"),
            (word(32) + word(2**256 - 1), "more than 256"),
            (answer(ONE, TWO)[:-32], "announces 2 validators and returns 1"),
            (answer(ONE, TWO)[:-1], "not an address"),
            (answer(b"\x01" * 21), "not an address"),
            (answer(ONE, ONE), "names one validator twice"),
        ],
    )
    def test_of_another_form_is_refused(self, output: bytes, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            decode_validators(output)


class TestErrors:
    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            (ContractUnreadableError("reverted after 21,000 gas"), "reverted after 21,000 gas"),
            (NoContractError("does not exist: there is no code at its address"), "does not exist"),
            (answer(), "names no validator"),
        ],
    )
    def test_name_the_block_and_the_contract(self, result: bytes | ContractUnreadableError, reason: str) -> None:
        with pytest.raises(ValidatorContractError, match=f"block 1 has no validators: .*0x8888.*{reason}") as refused:
            ValidatorContract(Reader(result)).validators_after(HEADER, CONTRACT)
        assert refused.value.rule == "validator-contract"

    def test_a_state_that_this_node_lacks_is_no_fault_of_the_block(self) -> None:
        reader = Reader(StateUnavailableError("cannot be read"))
        with pytest.raises(StorageCorruptError, match="block 1"):
            ValidatorContract(reader).validators_after(HEADER, CONTRACT)

    def test_are_remembered_for_their_block(self) -> None:
        """A loop without an end would use up its gas at each question, and many parts of the node ask."""
        reader = Reader(ContractUnreadableError("failed: Out of gas"))
        contract = ValidatorContract(reader)
        for _ in range(2):
            with pytest.raises(ValidatorContractError, match=r"block 1 .* Out of gas"):
                contract.validators_after(HEADER, CONTRACT)
        assert len(reader.questions) == 1

    def test_a_state_that_is_missing_is_asked_for_again(self) -> None:
        reader = Reader(StateUnavailableError("cannot be read"))
        contract = ValidatorContract(reader)
        with pytest.raises(StorageCorruptError):
            contract.validators_after(HEADER, CONTRACT)
        reader.result = answer(ONE)
        assert contract.validators_after(HEADER, CONTRACT) == (ONE,)


def test_an_answer_is_asked_for_once_for_each_block_and_contract() -> None:
    reader = Reader(answer(ONE))
    contract = ValidatorContract(reader)
    for header in (HEADER, HEADER, HEADER.with_changes(number=1)):
        assert contract.validators_after(header, CONTRACT) == (ONE,)
    assert reader.questions == [(CONTRACT, GET_VALIDATORS)] * 2
    contract.validators_after(HEADER, ONE)
    assert len(reader.questions) == 3
