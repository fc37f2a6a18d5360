"""py-evm's `State` classes, one a fork, fitted to what Besu lets a genesis choose.

`contractSizeLimit` and `evmStackSize` are constants in py-evm; here they are set on subclasses made once a network.
"""

import time
from functools import lru_cache
from typing import Any

from eth.exceptions import FullStack, InsufficientStack, OutOfGas
from eth.vm.forks.berlin.state import BerlinState
from eth.vm.forks.byzantium.state import ByzantiumState
from eth.vm.forks.cancun.state import CancunState
from eth.vm.forks.constantinople.state import ConstantinopleState
from eth.vm.forks.frontier.state import FrontierState
from eth.vm.forks.homestead.state import HomesteadState
from eth.vm.forks.istanbul.state import IstanbulState
from eth.vm.forks.london.state import LondonState
from eth.vm.forks.muir_glacier.state import MuirGlacierState
from eth.vm.forks.paris.state import ParisState
from eth.vm.forks.petersburg.state import PetersburgState
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.shanghai.state import ShanghaiState
from eth.vm.forks.spurious_dragon.state import SpuriousDragonState
from eth.vm.forks.tangerine_whistle.state import TangerineWhistleState
from eth.vm.gas_meter import GasMeter
from eth.vm.stack import Stack

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import CallExpired
from lacnode.evm.py_evm_accounts import Accounts

STATES: dict[Fork, Any] = {
    Fork.FRONTIER: FrontierState,
    Fork.HOMESTEAD: HomesteadState,
    Fork.TANGERINE_WHISTLE: TangerineWhistleState,
    Fork.SPURIOUS_DRAGON: SpuriousDragonState,
    Fork.BYZANTIUM: ByzantiumState,
    Fork.CONSTANTINOPLE: ConstantinopleState,
    Fork.PETERSBURG: PetersburgState,
    Fork.ISTANBUL: IstanbulState,
    Fork.MUIR_GLACIER: MuirGlacierState,
    Fork.BERLIN: BerlinState,
    Fork.LONDON: LondonState,
    Fork.PARIS: ParisState,
    Fork.SHANGHAI: ShanghaiState,
    Fork.CANCUN: CancunState,
    Fork.PRAGUE: PragueState,
}

DEFAULT_CODE_SIZE_LIMIT = 24_576
DEFAULT_STACK_SIZE = 1024
CHECK_EVERY = 2048
"""Instructions between two looks at a call's deadline."""


@lru_cache(maxsize=64)
def state_class(fork: Fork, code_size_limit: int | None, stack_size: int) -> Any:
    """The `State` class of `fork` on a network with these limits (None for the fork's own)."""
    base = STATES[fork]
    members: dict[str, Any] = {}
    if code_size_limit not in (None, DEFAULT_CODE_SIZE_LIMIT) and fork >= Fork.SPURIOUS_DRAGON:
        members["validate_contract_code"] = _code_rule(code_size_limit, fork)
    if stack_size != DEFAULT_STACK_SIZE:
        members["__init__"] = _with_stack(base.computation_class, stack_size)
    computation = type(f"Network{base.computation_class.__name__}", (base.computation_class,), members)
    return type(f"Network{base.__name__}", (base,), {"computation_class": computation, "account_db_class": Accounts})


def _code_rule(limit: int | None, fork: Fork) -> Any:
    """How large code may be, and from London on what it may not begin with (EIP-3541)."""

    def validate_contract_code(cls: Any, code: bytes) -> None:
        if limit is not None and len(code) > limit:
            raise OutOfGas(f"code of {len(code)} bytes, above this network's limit of {limit}")
        if fork >= Fork.LONDON and code[:1] == b"\xef":
            raise OutOfGas("code that begins with 0xEF")

    return classmethod(validate_contract_code)


def _with_stack(base: Any, size: int) -> Any:
    def __init__(self: Any, state: Any, message: Any, context: Any) -> None:
        base.__init__(self, state, message, context)
        self._stack = _LimitedStack(size)

    return __init__


class _LimitedStack(Stack):
    """A stack with the genesis' `evmStackSize`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def _room(self) -> None:
        if len(self.values) >= self._size:
            raise FullStack(f"stack limit of {self._size} reached")

    def push_int(self, value: int) -> None:
        self._room()
        self._append(value)

    def push_bytes(self, value: bytes) -> None:
        self._room()
        self._append(value)

    def dup(self, position: int) -> None:
        self._room()
        if position > len(self.values):
            raise InsufficientStack(f"nothing to duplicate at depth {position}")
        self._append(self.values[-position])


def limit_time(state: Any, deadline: float) -> None:
    """Make every computation of `state` look at the clock now and then; CallExpired once `deadline` (monotonic seconds)
    has passed."""
    base = state.computation_class

    class Timed(base):  # type: ignore[misc, valid-type]
        def _configure_gas_meter(self) -> Any:
            configured = super()._configure_gas_meter()
            return _TimedMeter(configured.start_gas, configured.refund_strategy, deadline)

    state.computation_class = Timed


class _TimedMeter(GasMeter):
    def __init__(self, start_gas: int, refund_strategy: Any, deadline: float) -> None:
        super().__init__(start_gas, refund_strategy)
        self._deadline = deadline
        self._left = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        self._left -= 1
        if self._left < 0:
            self._left = CHECK_EVERY
            if time.monotonic() > self._deadline:
                raise CallExpired("the call took too long")
        super().consume_gas(amount, reason)
