"""What permission checks cost: importing a block of 1,000 ERC-20 transfers with and without an account contract.

The contract is lacnode's own, through its ingress. The node has seen none of the transactions before, as when it
synchronises: one that was asked about in the pool is not asked about again.
"""

from collections.abc import Callable

from benchmarks.execution import ROUNDS, SENDER, import_seconds, token_transfers
from benchmarks.measure import Measure
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.devnet.permissioned_genesis import ACCOUNT_INGRESS, permissioning_alloc
from lacnode.evm.engine import ExecutionEngine
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.primitives.hexadecimal import to_hex


def measure() -> list[Measure]:
    """The ratio of the times, best of a few rounds each, taken in turn."""
    genesis = devnet_genesis([SENDER.address], [DevnetAccount(to_hex(SENDER.address), "")], 1.0, 1)
    alloc = genesis["alloc"]
    assert isinstance(alloc, dict)
    alloc.update(permissioning_alloc([SENDER.address], [], [SENDER.address]))
    spec = parse_genesis(genesis)
    contents = list(token_transfers())
    plain, guarded = float("inf"), float("inf")
    for _ in range(ROUNDS):
        plain = min(plain, import_seconds(spec, contents))
        guarded = min(guarded, import_seconds(spec, contents, _guard))
    note = f"{1000 / plain:.0f} tx/s without, {1000 / guarded:.0f} tx/s with the contract"
    name = "import of 1,000 ERC-20 transfers with an account contract, against without"
    return [Measure(name, guarded / plain, "x", 1.15, at_most=True, note=note)]


def _guard(
    spec: ChainSpec, engine: ExecutionEngine, ancestor_hash: Callable[[int], bytes | None]
) -> AccountPermissions:
    contracts = ChainContracts(spec, engine, ancestor_hash)
    return AccountPermissions(contract=AccountContract(contracts, ACCOUNT_INGRESS))
