"""Every method of the API with parameters that mean harm: an error may say what is wrong, and none is an internal one.

The parameters are random, from a fixed seed. `HOSTILE_CALLS` sets how many calls each method gets.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.errors import INTERNAL_ERROR, RpcError
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import Method
from lacnode.rpc.settings import ApiSettings
from tests.support.rpc_chain import CALLER_ADDRESS, LOGGER_ADDRESS, REVERTER_ADDRESS, RICH, RpcTestNode, node, typed

CALLS = int(os.environ.get("HOSTILE_CALLS", "12"))
CANCUN = {"berlinBlock": 0, "londonBlock": 0, "shanghaiTime": 0, "cancunTime": 0}
ACCOUNT = to_hex(RICH.address)
CONTRACTS = [to_hex(address) for address in (CALLER_ADDRESS, LOGGER_ADDRESS, REVERTER_ADDRESS)]
PRECOMPILES = [f"0x{number:040x}" for number in (1, 2, 5, 8, 9, 10)]
WRONG: list[object] = [
    None, True, False, 0, 1, -1, 2**63, 2**64 - 1, -(2**63), 1.5, 1e308, "", "0x", "0xzz", "0x" + "f" * 63, "0x" + "f" * 64,
    "0x" + "f" * 65, "-0x1", "0x-1", " 0x1", "\x00", "é", "٣", "0x٣", "null", "{}", "a" * 5000, "0x" + "00" * 5000, [], {},
    [[]], [None], {"a": 1}, "0X1", "1", "1_000", "0x1_0", "0xf901", "0x02c0", "0x01", "0x7f", ["trace"], "newHeads",
]  # fmt: skip
_NAMES = """
accessList address addresses after authorizationList baseFeePerGas balance blobBaseFee blobVersionedHashes blockHash
blockNumber blockOverrides blockStateCalls calls chainId code count data diffMode disableStack disableStorage enableMemory
feeRecipient from fromAddress fromBlock gas gasLimit gasPrice input limit maxFeePerBlobGas maxFeePerGas maxPriorityFeePerGas
movePrecompileToAddress nonce number onlyTopCall prevRandao requireCanonical returnFullTransactions state stateDiff
stateOverrides storageKeys time timeout to toAddress toBlock topics traceTransfers tracer tracerConfig txHash type validation
value withLog withdrawals
"""
NAMES = _NAMES.split()
TRACERS = ("callTracer", "prestateTracer", "4byteTracer", "flatCallTracer", "noSuchTracer", "")
TRACES = (["trace"], ["vmTrace"], ["stateDiff"], ["trace", "vmTrace", "stateDiff"], ["noSuchTrace"])
OVERRIDES = ("balance", "code", "nonce", "state", "stateDiff", "movePrecompileToAddress")
BLOCK_OVERRIDES = ("number", "time", "gasLimit", "baseFeePerGas", "feeRecipient", "prevRandao", "blobBaseFee")

NO_PROOF_OF_WORK = {"eth_getWork", "eth_submitWork"}
"""Besu answers these with an internal error on every network without proof of work."""

WITHOUT_CONSENSUS = {"lac_consensusStatus"}
"""The node of these tests takes no part in consensus."""


class Attacker:
    """Makes parameters. `known` are values that mean something on the chain."""

    def __init__(self, known: list[object]) -> None:
        self._random = random.Random(13)
        self._known = [*known, ACCOUNT, *CONTRACTS, *PRECOMPILES, "latest", "earliest", "pending", "0x0", "0x1", "0x2"]
        self._forms: list[Callable[[], list[object]]] = [
            lambda: [self._value() for _ in range(self._random.randint(0, 5))],
            lambda: [self._one(), self._value()],
            lambda: [self._one(), self._one(), self._value()],
            lambda: [self._one(), self._random.choice((True, False)), self._value()],
            lambda: [self._call(), self._one()],
            lambda: [self._call(), self._one(), {ACCOUNT: self._override(OVERRIDES)}],
            lambda: [self._call(), self._random.choice(TRACES), self._one()],
            lambda: [[[self._call(), self._random.choice(TRACES)]], self._one()],
            lambda: [self._call(), self._one(), self._trace_options()],
            lambda: [self._one(), self._trace_options()],
            lambda: [self._object(), self._one()],
            lambda: [{"blockStateCalls": [self._simulated_block()]}, self._one()],
        ]

    def params(self) -> list[object]:
        """The parameters of one call."""
        return self._random.choice(self._forms)()

    def _one(self) -> object:
        return self._random.choice(self._known)

    def _value(self, depth: int = 0) -> object:
        kind = self._random.random()
        if kind < 0.35:
            return self._one()
        if kind < 0.65 or depth > 3:
            return self._random.choice(WRONG)
        if kind < 0.8:
            return [self._value(depth + 1) for _ in range(self._random.randint(0, 3))]
        return self._object(depth)

    def _object(self, depth: int = 0) -> dict[str, object]:
        return {self._random.choice(NAMES): self._value(depth + 1) for _ in range(self._random.randint(0, 5))}

    def _call(self) -> dict[str, object]:
        to = self._random.choice([ACCOUNT, *CONTRACTS, *PRECOMPILES])
        data = to_hex(self._random.randbytes(self._random.randint(0, 40)))
        return {"from": ACCOUNT, "to": to, "data": data, **(self._object(1) if self._random.random() < 0.5 else {})}

    def _override(self, names: tuple[str, ...]) -> dict[str, object]:
        return {self._random.choice(names): self._value(1)}

    def _trace_options(self) -> dict[str, object]:
        return {"tracer": self._random.choice(TRACERS), "tracerConfig": self._value(1), **self._object(2)}

    def _simulated_block(self) -> dict[str, object]:
        return {
            "calls": [self._call()],
            "blockOverrides": self._override(BLOCK_OVERRIDES),
            "stateOverrides": {ACCOUNT: self._override(OVERRIDES)},
        }


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> RpcTestNode:
    api = ApiSettings(call_seconds=0.5, trace_directory=tmp_path_factory.mktemp("traces"))
    made = node(forks=CANCUN, api=api)
    fees = (0, 10**10)
    made.send(typed(nonce=0, fees=fees, to=LOGGER_ADDRESS), typed(nonce=1, fees=fees, to=REVERTER_ADDRESS))
    made.grow(2)
    return made


def known_values(at: RpcTestNode) -> list[object]:
    block = at.chain.block_at(1)
    assert block is not None
    hash_ = at.chain.hash_at(1)
    assert hash_ is not None
    raw = [to_hex(transaction.raw) for transaction in block.transactions]
    return [to_hex(hash_), *(to_hex(transaction.hash) for transaction in block.transactions), *raw]


def fault_of(at: RpcTestNode, method: Method, params: list[object]) -> str | None:
    """What a caller should never see of this call, None if all is well."""
    try:
        orjson.dumps(at.call(method.name, *params), default=lambda value: "" if isinstance(value, bytes) else None)
    except RpcError as error:
        is_internal = error.code == INTERNAL_ERROR and method.name not in NO_PROOF_OF_WORK and error.data is None
        return f"internal error {error.message!r}" if is_internal else None
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return None


def test_no_parameters_make_an_internal_error(at: RpcTestNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    attacker = Attacker(known_values(at))
    faults = {}
    for method in (method for method in all_methods() if method.name not in WITHOUT_CONSENSUS):
        for _ in range(CALLS):
            params = attacker.params()
            fault = fault_of(at, method, params)
            if fault is not None:
                faults[method.name, fault] = repr(params)[:400]
    report = "; ".join(f"{name}: {fault}: {params}" for (name, fault), params in faults.items())
    assert not report, report
