"""Contracts that stand in the place of the account rules, and answer by whatever differs between blocks and machines."""

import random
from collections.abc import Hashable, Iterable, Sequence

from lacnode.permissioning.contract_reader import ContractReader, ContractReading, ContractTimeoutError
from lacnode.primitives.header import BlockHeader
from tests.differential.programs import ENVIRONMENT, PRECOMPILE_INPUTS, Programs, push

RULES, OTHER = bytes(18) + b"\x88\x88", bytes(18) + b"\x99\x99"
"""The addresses of the rules contract, and of one that it calls."""

CHANGE = b""
"""The call data with which an ordinary transaction changes what the rules contract stores."""

GAS, NUMBER, TIMESTAMP, COINBASE, GAS_LIMIT, DIFFICULTY = b"\x5a", b"\x43", b"\x42", b"\x41", b"\x45", b"\x44"
STORED = push(0) + b"\x54"
QUESTION_HASH = b"\x36" + push(0) + push(0) + b"\x37" + b"\x36" + push(0) + b"\x20"
SURROUNDINGS = tuple(bytes([instruction]) for instruction in ENVIRONMENT)

ASK_SELF = (
    b"\x36" + push(0) + push(0) + b"\x37" + push(0) + push(0) + b"\x36" + push(0) + push(0) + b"\x30\x5a\xf1\x5a\x01"
)
"""A call of itself with the question, which does the same. Leaves a word that hangs on the gas that is left."""

ASK_OTHER = ASK_SELF.replace(b"\x30", push(int.from_bytes(OTHER)))
RETURNED_SIZE = b"\x3d"


def answering(size: int, word: bytes, instruction: bytes = b"\xf3") -> bytes:
    """Code that returns, or reverts with, `size` bytes. The first 32 are what `word` leaves on the stack."""
    return word + push(0) + b"\x52" + push(size) + push(0) + instruction


def decided_by(*words: bytes) -> bytes:
    """Code that answers yes or no by one bit of a hash. A change in any bit of `words` may change the answer."""
    hashed = b"".join(word + push(32 * place) + b"\x52" for place, word in enumerate(words))
    return hashed + answering(32, push(32 * len(words)) + push(0) + b"\x20" + push(1) + b"\x16")


def _ask_precompile(number: int, data: bytes) -> bytes:
    """A call of a precompile. Leaves a word that hangs on its answer and on the gas that is left."""
    parts = range(0, len(data), 32)
    written = b"".join(b"\x7f" + data[at : at + 32].ljust(32, b"\0") + push(at) + b"\x52" for at in parts)
    call = push(32) + push(0) + push(len(data)) + push(0) + push(number) + b"\x5a\xfa"
    return written + call + push(0) + b"\x51\x01\x5a\x01"


ANSWERS: dict[str, bytes] = {
    "yes": answering(32, push(1)),
    "no": answering(32, push(0)),
    "by the time": decided_by(TIMESTAMP),
    "by the number": decided_by(NUMBER),
    "by the proposer": decided_by(COINBASE, COINBASE + b"\x31", COINBASE + b"\x3f"),
    "by the gas that is left": decided_by(GAS),
    "by the gas limit and the difficulty": decided_by(GAS_LIMIT, DIFFICULTY),
    "by the hash of the block before": decided_by(push(1) + NUMBER + b"\x03\x40", NUMBER + b"\x40"),
    "by the question": decided_by(QUESTION_HASH),
    "by what is stored": decided_by(STORED),
    "by the gas of a write": decided_by(NUMBER + push(1) + b"\x55" + GAS),
    "by a new contract": decided_by(push(0) + push(0) + push(0) + b"\xf0", GAS),
    "by itself": decided_by(ASK_SELF),
    "by another contract": decided_by(ASK_OTHER, RETURNED_SIZE),
    "neither yes nor no": answering(32, push(2)),
    "all bits": answering(32, push(2**256 - 1)),
    "31 bytes": answering(31, push(1)),
    "33 bytes": answering(33, push(1)),
    "100,000 bytes": answering(100_000, push(1)),
    "more bytes than it has gas for": answering(2**30, push(1)),
    "nothing": b"\x00",
    "a revert": answering(32, push(1), b"\xfd"),
    "a revert with 100,000 bytes": answering(100_000, push(1), b"\xfd"),
    "an invalid instruction": b"\xfe",
    "an empty stack": b"\x50",
    # The jump is relative, so that the loop may stand anywhere.
    "a loop": b"\x5b\x58" + push(1) + b"\x90\x03\x56",
    "its own end": b"\x33\xff",
}
"""What a hostile rules contract does when it is asked."""


def rules_contract(answers: Iterable[bytes], mood: bytes) -> bytes:
    """Code of a rules contract. A word that `mood` leaves on the stack chooses from `answers`. Without call data it is no
    question: the contract then counts the call in what it stores."""
    bodies = [b"\x5b\x50" + answer for answer in answers]
    change = STORED + push(1) + b"\x01" + push(0) + b"\x55\x00"
    question = 5 + len(change)
    choice = b"\x5b" + push(len(bodies)) + mood + b"\x06"
    entry_bytes = 8
    place = question + len(choice) + entry_bytes * len(bodies) + 1
    table = []
    for number, body in enumerate(bodies):
        table.append(b"\x80\x60" + bytes([number]) + b"\x14\x61" + place.to_bytes(2) + b"\x57")
        place += len(body)
    start = b"\x36\x61" + question.to_bytes(2) + b"\x57"
    return start + change + choice + b"".join(table) + b"\x00" + b"".join(bodies)


MOODS = (STORED, NUMBER, TIMESTAMP, COINBASE, QUESTION_HASH, GAS)


class HostileContracts:
    """Rules contracts and a contract that they call, by the randomness of `rng`. One of `moods`, or several of them, choose
    the answer."""

    def __init__(self, rng: random.Random, moods: Sequence[bytes] = MOODS) -> None:
        self._rng, self._moods = rng, moods
        self.other = Programs(rng, [RULES, OTHER]).program()
        self.rules = rules_contract(self._answers(), self._mood())

    def _answers(self) -> list[bytes]:
        rng = self._rng
        precompiles = (_ask_precompile(number, data) for number, data in rng.sample(PRECOMPILE_INPUTS, 2))
        return [
            *rng.sample(sorted(ANSWERS.values()), 10),
            # Most answers are failures. Without these hardly any block would be accepted.
            *[ANSWERS["yes"]] * 4,
            *(decided_by(*rng.sample(SURROUNDINGS, 3)) for _ in range(4)),
            *(decided_by(asked) for asked in precompiles),
        ]

    def _mood(self) -> bytes:
        """A word of the state, of the block, or of the gas that is left, or of several of them."""
        words = self._rng.sample(self._moods, self._rng.randint(1, 3))
        written = b"".join(word + push(32 * place) + b"\x52" for place, word in enumerate(words))
        return written + push(32 * len(words)) + push(0) + b"\x20"


class SlowReader:
    """Reads contracts on a machine so slow that no answer comes within a time limit."""

    def __init__(self, reader: ContractReader) -> None:
        self._reader = reader

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if seconds != float("inf"):
            raise ContractTimeoutError(f"gave no answer within {seconds:g} s")
        return self._reader.read(contract, data, header, seconds)

    def fingerprint(self, accounts: Iterable[bytes], header: BlockHeader) -> Hashable:
        return self._reader.fingerprint(accounts, header)
