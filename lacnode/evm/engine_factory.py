"""Making execution engines: the one place where all engines are named."""

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.comparing_engine import CrossCheckedPyEvmEngine
from lacnode.evm.engine import NodeStore
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.tracing_executor import TracingEngine


def make_engine(
    spec: ChainSpec,
    store: NodeStore,
    budget: ExecutionBudget = UNLIMITED,
    kind: EngineKind = EngineKind.AUTO,
    differences: EngineDifferences | None = None,
) -> TracingEngine:
    """Return an engine of `kind` on the states in `store`, by the rules of `spec`. Cancelling `budget` stops its
    executions. Differences between the two engines go to `differences`, which are only counted and logged if it is
    None. NativeLibraryError if `kind` needs the native library and there is none that fits."""
    kind = kind.resolved
    if kind is EngineKind.PYTHON:
        return PyEvmEngine(spec, store, budget)
    noted = EngineDifferences() if differences is None else differences
    if kind is EngineKind.BOTH:
        return CrossCheckedPyEvmEngine(spec, store, budget, noted)
    return NativeEngine(spec, store, budget, noted)
