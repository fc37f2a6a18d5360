"""Making execution engines: the one place that knows which ones there are."""

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import ExecutionEngine, NodeStore
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.py_evm_engine import PyEvmEngine


def make_engine(
    spec: ChainSpec, store: NodeStore, budget: ExecutionBudget = UNLIMITED, kind: EngineKind = EngineKind.AUTO
) -> ExecutionEngine:
    """An engine of `kind` on the states in `store`, by the rules of `spec`. Cancelling `budget` stops whatever it
    executes. NativeLibraryError if `kind` needs the native library and there is none that fits."""
    if kind.resolved is EngineKind.NATIVE:
        return NativeEngine(spec, store, budget)
    return PyEvmEngine(spec, store, budget)
