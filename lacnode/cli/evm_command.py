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
from lacnode.evm.engine_differences import Outcome, outcome_document, outcomes_differ
from lacnode.evm.engine_kind import why_no_library
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


def run(words: Sequence[str], settings: Settings) -> int:
    """Execute again the block of a file that a node wrote when its engines differed, on both engines, and print the
    differences. `words` are those after `evm`. Return the exit status: 0 if the engines agree now, 1 if they differ.
    UsageError for a wrong command line, without a native library, or for a file that is not one of a difference."""
    if len(words) != 2 or words[0] != "replay":
        raise UsageError("evm replay FILE was expected", 2)
    # Without the library there would be one outcome, which agrees with itself.
    reason = why_no_library()
    if reason is not None:
        raise UsageError(f"both engines are needed: {reason}")
    try:
        document = orjson.loads(Path(words[1]).read_bytes())
        outcomes = replay_engine_difference(document)
    except OSError as error:
        raise UsageError(f"{words[1]}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, GenesisError) as error:
        raise UsageError(f"{words[1]} is not a difference that a node wrote: {error}") from None
    return _report(outcomes)


def replay_engine_difference(document: dict[str, Any]) -> dict[str, Outcome]:
    """Execute the block in `document` again, and return its outcome by the name of each engine: `python` and `native`.
    An outcome is what the execution gives, or its ExecutionError. If the native engine leaves the block to py-evm, both
    names have the outcome of py-evm. `document` is the file that a node writes when its engines differ. ValueError,
    KeyError, TypeError, AttributeError or GenesisError if it is another file. NativeLibraryError without the native
    library."""
    spec = parse_genesis(document["genesis"])
    # The file has the trie nodes and codes that the block reads, and no others. The engines need no database.
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
    # `execute` would hide a difference behind py-evm's outcome. `execute_natively_or_none` gives the library's own.
    found = NativeEngine(spec, nodes).execute_natively_or_none(root, header, transactions, ancestors.get, UNLIMITED)
    # None: the library leaves such a block to py-evm, so both engines have one outcome.
    outcomes["native"] = outcomes["python"] if found is None else found
    return outcomes


def _report(outcomes: dict[str, Outcome]) -> int:
    python, native = outcomes["python"], outcomes["native"]
    differ = outcomes_differ(python, native)
    # The documents are compared field by field, so that the report names only the fields that differ.
    left, right = outcome_document(python), outcome_document(native)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            print(f"{name}:\n  py-evm {left.get(name)}\n  native {right.get(name)}")
    print("the engines differ" if differ else "the engines agree", file=sys.stderr)
    return int(differ)
