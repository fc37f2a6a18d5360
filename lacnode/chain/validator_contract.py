"""The contract that names the validators of a QBFT network (Besu's `ValidatorContractController`).

The contract is asked on the state after the parent, with the address that the genesis sets for the block. So a change
within block N counts from block N+1 on. There is no block without an answer, so every failure names the block. This
file must not know votes: a network whose validators come from a contract has none.
"""

import math
import threading
from collections import OrderedDict

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.consensus.bft.payloads import MAX_VALIDATORS
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError, StateUnavailableError
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.storage.storage_errors import StorageCorruptError

GET_VALIDATORS = bytes.fromhex("b7ab4db5")
"""The selector of `getValidators()`. It returns `address[]`."""

CACHED_ANSWERS = 100
"""Answers that are kept. Besu keeps as many."""

_WORD_BYTES = 32


class ValidatorContractError(BlockRefusedError):
    """The contract names no usable validators. The text names the block that has none for this reason."""

    def __init__(self, number: int, contract: bytes, reason: str) -> None:
        super().__init__(
            "validator-contract",
            f"block {number} has no validators: the validator contract {to_hex(contract)} {reason}",
        )


class ValidatorContract:
    """Asks validator contracts through `reader`. Safe from any thread."""

    def __init__(self, reader: ContractReader) -> None:
        self._reader = reader
        self._answers: OrderedDict[tuple[BlockHeader, bytes], tuple[bytes, ...] | str] = OrderedDict()
        self._lock = threading.Lock()

    def validators_after(self, header: BlockHeader, contract: bytes) -> tuple[bytes, ...]:
        """The validators that `contract` (20 bytes) names on the state after `header`, ascending (20-byte addresses).
        The last answers are remembered.

        Raises ValidatorContractError if it names no usable ones, and StorageCorruptError if this node cannot read that
        state.
        """
        # A contract may read every field of the block, so the whole header is part of the key.
        key = header, contract
        with self._lock:
            known = self._answers.get(key)
        if known is None:
            known = self._ask(header, contract)
            self._remember(key, known)
        if isinstance(known, str):
            raise ValidatorContractError(header.number + 1, contract, known)
        return known

    def _ask(self, header: BlockHeader, contract: bytes) -> tuple[bytes, ...] | str:
        """The validators, or why there are none. The reason is remembered, too: a loop without an end uses up all its gas
        at each question."""
        try:
            # The gas is bounded, and not the time: the answer must be the same on every machine.
            output = self._reader.read(contract, GET_VALIDATORS, header, math.inf).output
        except StateUnavailableError as missing:
            # This node lacks the state. The block may be valid.
            raise StorageCorruptError(
                f"the validators of block {header.number + 1}: the state before it {missing}"
            ) from None
        except ContractUnreadableError as unreadable:
            return str(unreadable)
        try:
            return decode_validators(output)
        except ValueError as error:
            return str(error)

    def _remember(self, key: tuple[BlockHeader, bytes], answer: tuple[bytes, ...] | str) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > CACHED_ANSWERS:
                self._answers.popitem(last=False)


def decode_validators(output: bytes) -> tuple[bytes, ...]:
    """The addresses (20 bytes) in the ABI encoding of `address[]`, ascending. Raises ValueError, with a clause that
    says why.

    No validator, a repeated one, and more than `MAX_VALIDATORS` are refused: a quorum of them could not be counted.
    """
    words = [output[start : start + _WORD_BYTES] for start in range(0, len(output), _WORD_BYTES)]
    # Besu's decoder starts at the offset in the first word, too. Solidity always writes 32 there.
    offset = int.from_bytes(words[0]) if words else 0
    if offset % _WORD_BYTES or not _WORD_BYTES <= offset < len(output):
        raise ValueError(f"returned {len(output)} bytes, which are not a list of addresses")
    listed = words[offset // _WORD_BYTES + 1 :]
    count = int.from_bytes(words[offset // _WORD_BYTES])
    if count > MAX_VALIDATORS:
        raise ValueError(f"names {count} validators, more than {MAX_VALIDATORS}")
    if count == 0:
        raise ValueError("names no validator")
    if len(listed) < count:
        raise ValueError(f"announces {count} validators and returns {len(listed)}")
    return _addresses(listed[:count])


def _addresses(words: list[bytes]) -> tuple[bytes, ...]:
    if any(len(word) != _WORD_BYTES or any(word[:12]) for word in words):
        raise ValueError("returned a word that is not an address")
    addresses = sorted(word[12:] for word in words)
    if len(set(addresses)) != len(addresses):
        raise ValueError("names one validator twice")
    return tuple(addresses)
