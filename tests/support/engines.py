"""Both engines for the tests that execute: each such test runs on py-evm and on the native library, where it is built."""

import os

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import NodeStore
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.tracing_executor import TracingEngine

KINDS = (EngineKind.PYTHON, EngineKind.NATIVE)

DEFAULT_KIND = EngineKind[os.environ.get("LACNODE_EVM", "PYTHON")]
"""What tests run on that are not for each engine, as nodes that tests start as processes do."""

_current = [DEFAULT_KIND]


def use(kind: EngineKind) -> None:
    """`engine` makes engines of `kind` from now on."""
    _current[0] = kind


def why_skipped(kind: EngineKind) -> str | None:
    """Why tests on `kind` cannot run here; None if they can."""
    return None if kind is EngineKind.PYTHON else why_no_library()


def engine(spec: ChainSpec, store: NodeStore, budget: ExecutionBudget = UNLIMITED) -> TracingEngine:
    """An engine of the kind that the running test is for: `DEFAULT_KIND`, unless it uses the fixture `each_engine`."""
    return make_engine(spec, store, budget, _current[0])
