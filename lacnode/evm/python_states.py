"""The part of an engine that py-evm answers also where another engine executes blocks: the states between blocks.

Must not execute a block or a call.
"""

from collections.abc import Iterable

from lacnode.chainspec.spec import GenesisAccount
from lacnode.evm.py_evm_engine import PyEvmEngine, PyEvmStateView


class PythonStates:
    """The part of an engine that `python` does for it: the states between blocks, and the question whether the engine is
    stopped. It is the base class of the engines that execute on the native library. The methods are those of
    `engine.ExecutionEngine`."""

    def __init__(self, python: PyEvmEngine) -> None:
        self._python = python

    def genesis_state(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the root of the genesis' accounts (32 bytes), and the nodes and codes to store for it, by hash."""
        return self._python.genesis_state()

    def initial_state(self, genesis_accounts: Iterable[GenesisAccount]) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the root of a state of these accounts alone (32 bytes), and the nodes and codes to store for it."""
        return self._python.initial_state(genesis_accounts)

    def accounts(self, state_root: bytes) -> PyEvmStateView:
        """Return the accounts at `state_root` (32 bytes). Nothing is read yet: a missing state is a MissingNodeError at
        the first question."""
        return self._python.accounts(state_root)

    def check_running(self) -> None:
        """Return if the engine is not stopped. Raises ExecutionCancelledError otherwise."""
        self._python.check_running()
