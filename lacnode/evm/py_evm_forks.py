"""py-evm's `State` classes, one a fork, with our accounts and a network's limits under them. Made once a network."""

from functools import lru_cache
from typing import Any

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

from lacnode.chainspec.forks import Fork
from lacnode.evm.budget import UNLIMITED
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_administration import administered_executor
from lacnode.evm.py_evm_computation import computation_class
from lacnode.evm.py_evm_transient_storage import CountedTransientStorage
from lacnode.evm.state_administration import AdministrationRules

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


@lru_cache(maxsize=64)
def state_class(
    fork: Fork,
    code_size_limit: int | None,
    stack_size: int,
    constant_base_fee: bool,
    administration: AdministrationRules | None = None,
) -> Any:
    """The `State` class of `fork` on a network with these limits: `code_size_limit` in bytes (None for the fork's own)
    and `stack_size` in words. With `constant_base_fee` blob gas costs nothing. The class is made once for equal
    arguments. An execution sets the `budget` of its state, which is unlimited before. Only a devnet has rules of
    `administration`."""
    base = STATES[fork]
    computation = computation_class(base.computation_class, fork, code_size_limit, stack_size)
    members: dict[str, Any] = {"computation_class": computation, "account_db_class": Accounts, "budget": UNLIMITED}
    # py-evm looks for the contracts of Cancun and Prague in each new state, and changes nothing: it would write the code of
    # a contract where that code stands already. The look took two thirds of the time to make a state.
    members["set_system_contracts"] = lambda _: None
    if fork >= Fork.CANCUN:
        members["_transient_storage_class"] = CountedTransientStorage
    if constant_base_fee and fork >= Fork.CANCUN:
        # Besu's fee market with a constant base fee has no price for blobs.
        members["blob_base_fee"] = property(lambda _: 0)
    if administration is not None:
        members["transaction_executor_class"] = administered_executor(base.transaction_executor_class, administration)
    return type(f"Network{base.__name__}", (base,), members)
