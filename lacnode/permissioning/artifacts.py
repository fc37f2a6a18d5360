"""lacnode's own contracts, compiled: see `contracts/` for their sources and how they are built."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

NAMES = ("AccountIngress", "AccountRules", "Admin", "NodeIngress", "NodeRules")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: what creates it, and what it is once created. `abi` is its interface as the compiler gives
    it."""

    abi: list[dict[str, object]]
    bytecode: bytes
    runtime_bytecode: bytes


@cache
def artifact(name: str) -> Artifact:
    """The contract called `name`, one of `NAMES`."""
    file = resources.files("lacnode.permissioning") / "contracts" / "artifacts.json"
    found = json.loads(file.read_text("utf-8"))["contracts"][name]
    return Artifact(found["abi"], bytes.fromhex(found["bytecode"][2:]), bytes.fromhex(found["runtimeBytecode"][2:]))
