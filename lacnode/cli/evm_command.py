"""`evm replay`: execute again the block of a file that a node wrote when its engines differed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from lacnode.chainspec.genesis import GenesisError, parse_genesis
from lacnode.cli.errors import UsageError
from lacnode.cli.sources import Settings
from lacnode.evm.budget import UNLIMITED
from lacnode.evm.engine import ExecutionError
from lacnode.evm.engine_differences import Outcome, are_different, outcome_document
from lacnode.evm.engine_kind import why_no_library
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


def run(words: Sequence[str], settings: Settings) -> int:
    """Replay a file; 0 if the engines agree now, 1 if they differ."""
    if len(words) != 2 or words[0] != "replay":
        raise UsageError("evm replay FILE was expected", 2)
    reason = why_no_library()
    if reason is not None:
        raise UsageError(f"both engines are needed: {reason}")
    try:
        document = orjson.loads(Path(words[1]).read_bytes())
        outcomes = replay(document)
    except OSError as error:
        raise UsageError(f"{words[1]}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, GenesisError) as error:
        raise UsageError(f"{words[1]} is not a difference that a node wrote: {error}") from None
    return _report(outcomes)


def replay(document: dict[str, Any]) -> dict[str, Outcome]:
    """What each engine makes of the block in `document` (see `engine_differences.difference_document`)."""
    spec = parse_genesis(document["genesis"])
    nodes = {bytes.fromhex(key): bytes.fromhex(node) for key, node in document["nodes"].items()}
    ancestors = {int(number): bytes.fromhex(hash_) for number, hash_ in document["ancestors"].items()}
    root = bytes.fromhex(document["parentStateRoot"])
    header = BlockHeader.decode(bytes.fromhex(document["header"]))
    transactions = [Transaction.decode(bytes.fromhex(raw)) for raw in document["transactions"]]
    outcomes: dict[str, Outcome] = {}
    try:
        outcomes["python"] = PyEvmEngine(spec, nodes).execute(root, header, transactions, ancestors.get)
    except ExecutionError as error:
        outcomes["python"] = error
    found = NativeEngine(spec, nodes).execute_alone(root, header, transactions, ancestors.get, UNLIMITED)
    outcomes["native"] = outcomes["python"] if found is None else found
    return outcomes


def _report(outcomes: dict[str, Outcome]) -> int:
    python, native = outcomes["python"], outcomes["native"]
    differ = are_different(python, native)
    left, right = outcome_document(python), outcome_document(native)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            print(f"{name}:\n  py-evm {left.get(name)}\n  native {right.get(name)}")
    print("the engines differ" if differ else "the engines agree", file=sys.stderr)
    return int(differ)
