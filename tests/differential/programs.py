"""Random contract code: mostly statements that make sense, so that it runs for a while, and some that do not."""

import random
from collections.abc import Callable, Sequence

Statement = Callable[["Programs"], bytes]

SLOTS = 6
"""Storage slots that programs use: few, so that they meet each other's values."""

MEMORY_BYTES = 256

ENVIRONMENT = [*range(0x30, 0x31), 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x4B), 0x58, 0x59, 0x5A]
"""Instructions that push one word and take none."""

BINARY = [*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x19), *range(0x1A, 0x1E)]

INTERESTING = (0, 1, 2, 3, 31, 32, 33, 255, 256, 2**63, 2**64 - 1, 2**128, 2**255, 2**256 - 1)


def push(value: int) -> bytes:
    """The shortest instruction that pushes `value`."""
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8))
    return bytes([0x5F + len(data)]) + data


class Programs:
    """Makes programs with the randomness of `rng` that call `addresses` and the precompiles."""

    def __init__(self, rng: random.Random, addresses: Sequence[bytes]) -> None:
        self.rng = rng
        self.addresses = addresses
        self.depth = 0

    def program(self, statements: int = 12) -> bytes:
        """Code of about so many statements."""
        if self.rng.random() < 0.03:
            return self.rng.randbytes(self.rng.randrange(1, 60))
        code = b"".join(self._statement() for _ in range(self.rng.randrange(1, statements + 1)))
        return code + self._end()

    def init_code(self) -> bytes:
        """Code that deploys other code, or fails to."""
        self.depth += 1
        deployed = self.program(4) if self.depth < 3 else b"\x00"
        self.depth -= 1
        if self.rng.random() < 0.15:
            deployed = self.rng.choice((b"", b"\xef\x01", b"\xef\x01\x00" + self.address(), bytes(600)))
        before = b"".join(self._statement() for _ in range(self.rng.randrange(3))) if self.depth < 2 else b""
        size = push(len(deployed))
        for length in range(5, 40):
            start = len(before) + length
            copy = size + push(start) + push(0) + b"\x39" + size + push(0) + b"\xf3"
            if len(copy) == length:
                return before + copy + deployed
        raise AssertionError("no length fits")

    def address(self) -> bytes:
        """Somebody to call."""
        choice = self.rng.random()
        if choice < 0.25:
            return self.rng.randrange(1, 0x13).to_bytes(20)
        if choice < 0.3:
            return self.rng.randbytes(20)
        return self.rng.choice(self.addresses)

    def number(self) -> int:
        """An operand."""
        choice = self.rng.random()
        if choice < 0.4:
            return self.rng.choice(INTERESTING)
        if choice < 0.7:
            return self.rng.randrange(600)
        return self.rng.getrandbits(self.rng.choice((8, 64, 160, 256)))

    # -- parts -------------------------------------------------------------------------------------------------------

    def _statement(self) -> bytes:
        return self.rng.choices(STATEMENTS, WEIGHTS)[0](self)

    def _end(self) -> bytes:
        return self.rng.choices(
            (
                b"\x00",
                push(self.rng.randrange(64)) + push(self.rng.randrange(64)) + b"\xf3",
                push(self.rng.randrange(64)) + push(self.rng.randrange(64)) + b"\xfd",
                b"\xfe",
                push(int.from_bytes(self.address())) + b"\xff",
                b"\x01",
                push(self.rng.randrange(2**16)) + b"\x56",
            ),
            (30, 30, 12, 4, 8, 2, 2),
        )[0]

    def _memory(self) -> bytes:
        """Pushes a size and a place in memory, rarely a great one."""
        if self.rng.random() < 0.02:
            return push(self.number()) + push(self.number())
        return push(self.rng.randrange(MEMORY_BYTES)) + push(self.rng.randrange(MEMORY_BYTES))

    def _slot(self) -> bytes:
        return push(self.rng.randrange(SLOTS))

    def _value(self) -> bytes:
        """Pushes a word: a number, or something of the surroundings."""
        choice = self.rng.random()
        if choice < 0.55:
            return push(self.number())
        if choice < 0.75:
            return bytes([self.rng.choice(ENVIRONMENT)])
        if choice < 0.85:
            return self._slot() + b"\x54"
        if choice < 0.92:
            return push(self.rng.randrange(MEMORY_BYTES)) + b"\x51"
        unary = self.rng.choice((b"\x31", b"\x3b", b"\x3f", b"\x40", b"\x35", b"\x15", b"\x19", b"\x49", b"\x5c"))
        return self._operand_of(unary) + unary

    def _operand_of(self, unary: bytes) -> bytes:
        if unary in (b"\x31", b"\x3b", b"\x3f"):
            return push(int.from_bytes(self.address()))
        if unary == b"\x40":
            return b"\x43" + push(self.rng.choice((0, 1, 2, 255, 256, 257, 300))) + b"\x90\x03"
        return push(self.rng.randrange(64))


def _arithmetic(programs: Programs) -> bytes:
    rng = programs.rng
    operands = programs._value() + programs._value()
    if rng.random() < 0.15:
        operands, operation = operands + programs._value(), rng.choice((0x08, 0x09))
    else:
        operation = rng.choice(BINARY)
    return operands + bytes([operation]) + _kept(programs)


def _kept(programs: Programs) -> bytes:
    """Store what is on the stack where it shows."""
    choice = programs.rng.random()
    if choice < 0.5:
        return push(programs.rng.randrange(MEMORY_BYTES)) + b"\x52"
    if choice < 0.8:
        return programs._slot() + b"\x55"
    return b"\x50"


def _store(programs: Programs) -> bytes:
    value = push(programs.rng.choice((0, 0, 1, 2))) if programs.rng.random() < 0.6 else programs._value()
    return value + programs._slot() + programs.rng.choice((b"\x55", b"\x55", b"\x55", b"\x5d"))


def _copy(programs: Programs) -> bytes:
    operation = programs.rng.choice((0x37, 0x39, 0x3E, 0x5E, 0x3C))
    place = push(programs.rng.randrange(MEMORY_BYTES))
    source, size = push(programs.rng.randrange(64)), push(programs.rng.randrange(64))
    address = push(int.from_bytes(programs.address())) if operation == 0x3C else b""
    return size + source + place + address + bytes([operation])


def _hash(programs: Programs) -> bytes:
    return programs._memory() + b"\x20" + _kept(programs)


def _log(programs: Programs) -> bytes:
    topics = programs.rng.randrange(5)
    return b"".join(programs._value() for _ in range(topics)) + programs._memory() + bytes([0xA0 + topics])


def _call(programs: Programs) -> bytes:
    rng = programs.rng
    operation = rng.choice((0xF1, 0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
    value = (
        (programs._value() if rng.random() < 0.05 else push(rng.choice((0, 0, 0, 1, 7)))) if operation < 0xF4 else b""
    )
    gas = b"\x5a" if rng.random() < 0.7 else push(rng.choice((0, 100, 2300, 5_000, 30_000, 2**64)))
    address = push(int.from_bytes(programs.address()))
    result = _kept(programs)
    return programs._memory() + programs._memory() + value + address + gas + bytes([operation]) + result


def _create(programs: Programs) -> bytes:
    rng = programs.rng
    if programs.depth >= 2:
        return b""
    code = programs.init_code()
    written = b"".join(
        b"\x7f" + code[start : start + 32].ljust(32, b"\0") + push(start) + b"\x52" for start in range(0, len(code), 32)
    )
    salt, operation = (push(rng.randrange(3)), b"\xf5") if rng.random() < 0.5 else (b"", b"\xf0")
    value = push(rng.choice((0, 0, 0, 1)))
    return written + salt + push(len(code)) + push(0) + value + operation + _kept(programs)


def _loop(programs: Programs) -> bytes:
    """The same statement a few times. The jump's target is found from where the program counter is."""
    times = programs.rng.randrange(1, 6)
    body = programs.rng.choice((_arithmetic, _store, _hash))(programs)
    # counter; begin: JUMPDEST body; counter - 1; if not 0 jump back: PC - distance
    start = push(times) + b"\x5b" + body + push(1) + b"\x90\x03\x80"
    back = len(start) - len(push(times))
    return start + push(back) + b"\x58\x03" + push(2) + b"\x90\x03\x57\x50"


def _stack(programs: Programs) -> bytes:
    """Words of which one is copied or moved from below, and all of which are then summed up."""
    rng = programs.rng
    depth = rng.randrange(1, 17)
    words = b"".join(push(rng.getrandbits(rng.choice((8, 100, 256)))) for _ in range(depth))
    if rng.random() < 0.5:
        return words + bytes([0x7F + depth]) + b"\x01" * depth + _kept(programs)
    return words + programs._value() + bytes([0x8F + depth]) + b"\x03" * depth + _kept(programs)


def _wide(programs: Programs) -> bytes:
    """A word from an instruction of any width, PUSH0 among them, and one byte of it in memory."""
    width = programs.rng.randrange(33)
    word = bytes([0x5F + width]) + programs.rng.randbytes(width)
    return word + push(programs.rng.randrange(MEMORY_BYTES)) + programs.rng.choice((b"\x53", b"\x52"))


def _nonsense(programs: Programs) -> bytes:
    return bytes([programs.rng.randrange(256)])


def _precompile(programs: Programs) -> bytes:
    """A call of a precompile with an input that it may take."""
    number, data = programs.rng.choice(PRECOMPILE_INPUTS)
    if programs.rng.random() < 0.2 and data:
        place = programs.rng.randrange(len(data))
        data = data[:place] + bytes([programs.rng.randrange(256)]) + data[place + 1 :]
    if programs.rng.random() < 0.1:
        data = data[: programs.rng.randrange(len(data) + 1)]
    written = b"".join(
        b"\x7f" + data[start : start + 32].ljust(32, b"\0") + push(start) + b"\x52" for start in range(0, len(data), 32)
    )
    call = push(64) + push(0) + push(len(data)) + push(0) + push(number) + b"\x5a\xfa"
    return written + call + _kept(programs)


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


GENERATOR_G2 = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
NEGATED_Y = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD45
BLS_G1 = bytes.fromhex(
    "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    "0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
)

LONG_BLAKE2F_ROUNDS = 500_000
"""Gas, and so rounds, from which the native engine has Python compute a precompile. With more, Python starts a process."""

PRECOMPILE_INPUTS: tuple[tuple[int, bytes], ...] = (
    (1, _words(0x18C547E4F7B0F325AD1E56F57E26C745B09A3E503D86E00E5255FF7F715D3D1C, 28,
               0x73B1693892219D736CABA55BDB67216E485557EA6B6AF75F37096C9AA6A5A75F,
               0xEEB940B1D03B21E36B0E47E79769F095FE2AB855BD91E3A38756B7D75A9C4549)),
    (2, b"abc"),
    (3, b"abc"),
    (4, bytes(range(70))),
    (5, _words(1, 1, 1) + b"\3\5\7"),
    (5, _words(0, 0, 1) + b"\2"),
    (5, _words(32, 32, 32) + bytes(range(96))),
    (5, _words(2**64, 1, 1)),
    (5, _words(0, 2**20, 0)),
    (5, _words(64, 40, 64) + b"\xff" * 168),
    (5, _words(1, 1_100, 1) + b"\2" + b"\1" * 1_100 + b"\7"),
    (6, _words(1, 2, 1, 2)),
    (6, _words(1, 2, 1, NEGATED_Y)),
    (7, _words(1, 2, 2**256 - 1)),
    (8, _words(1, 2, *GENERATOR_G2, 1, NEGATED_Y, *GENERATOR_G2)),
    (8, _words(1, 2, *GENERATOR_G2)),
    (8, b""),
    (9, (12).to_bytes(4) + bytes(208) + b"\1"),
    (9, (70_000).to_bytes(4) + bytes(range(208)) + b"\0"),
    (9, LONG_BLAKE2F_ROUNDS.to_bytes(4) + bytes(range(208)) + b"\0"),
    (10, bytes(192)),
    (11, BLS_G1 + BLS_G1),
    (12, BLS_G1 + _words(5)),
    (13, bytes(512)),
    (14, bytes(288)),
    (15, BLS_G1 + bytes(256)),
    (16, bytes(63) + b"\5"),
    (17, bytes(63) + b"\5" + bytes(64)),
)  # fmt: skip

STATEMENTS: Sequence[Statement] = (
    _arithmetic, _store, _copy, _hash, _log, _call, _create, _loop, _nonsense, _precompile, _stack, _wide
)  # fmt: skip
WEIGHTS = (20, 22, 8, 6, 8, 22, 5, 4, 1, 6, 4, 4)
