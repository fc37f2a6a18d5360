"""The compiled contracts of lacnode. `contracts/` has their sources and says how they are built."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

NAMES = ("AccountIngress", "AccountRules", "Admin", "NodeIngress", "NodeRules")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract.

    `abi` is the interface in the compiler's JSON form. `bytecode` creates the contract. `runtime_bytecode` is the code
    that the created contract has.
    """

    abi: list[dict[str, object]]
    bytecode: bytes
    runtime_bytecode: bytes


@cache
def load_artifact(name: str) -> Artifact:
    """Return the contract `name`, which is one of `NAMES`. It is read from the package once and kept. KeyError for any
    other name."""
    # The compiled form is part of the package, so that a node needs no compiler.
    file = resources.files("lacnode.permissioning") / "contracts" / "artifacts.json"
    found = json.loads(file.read_text("utf-8"))["contracts"][name]
    return Artifact(found["abi"], bytes.fromhex(found["bytecode"][2:]), bytes.fromhex(found["runtimeBytecode"][2:]))
