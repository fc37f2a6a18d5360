"""Builds the parts that need no peer: the engine, the permissioning rules, the chain and the pool.

Must not know a peer or the network.
"""

from dataclasses import dataclass
from functools import partial

from lacnode.chain.blockchain import Blockchain, ChainSettings
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_history import stored_hash_at
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.evm.engine_differences import DIFFERENCES_DIRECTORY, EngineDifferences
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.tracing_executor import TracingEngine
from lacnode.node.chain_views import read_head_state
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.node.shared_objects import SharedObjects
from lacnode.txpool.admission import TransactionAdmission
from lacnode.txpool.transaction_pool import TransactionPool


@dataclass(frozen=True, slots=True)
class ChainParts:
    """The parts that need no peer. `differences` counts where two compared engines differ."""

    engine: TracingEngine
    differences: EngineDifferences
    permissions: PermissioningRules
    chain: Blockchain
    pool: TransactionPool


def build_chain_parts(shared: SharedObjects) -> ChainParts:
    """Return the engine, the rules, the chain and the pool of a node. An empty database gets the genesis block.

    Raises WrongGenesisError if the database holds another chain, and StorageError if it cannot be read.
    NativeLibraryError if the native engine is wanted and missing.
    """
    config, resources = shared.config, shared.resources
    differences = EngineDifferences(config.data_path / DIFFERENCES_DIRECTORY)
    store = DatabaseNodeStore(resources.database)
    engine = make_engine(shared.spec, store, shared.execution, config.evm, differences)
    permissions = PermissioningRules(
        config.permissioning,
        # The rules are older than the chain object, which checks senders by them. They read block hashes from the database.
        ChainContracts(shared.spec, engine, partial(stored_hash_at, resources.database)),
        own_id=shared.key.public_key,
        bootnodes=config.p2p.bootnodes,
        static_nodes=config.p2p.static_nodes,
        local_accounts=resources.local_permissions.accounts,
        local_nodes=resources.local_permissions.nodes,
        schedule=shared.spec.permissioning,
    )
    settings = ChainSettings(
        gas_limit_target=config.mining.gas_limit_target,
        min_occupancy_ratio=config.mining.min_occupancy_ratio,
        keep_revert_reasons=config.keep_revert_reasons,
    )
    chain = Blockchain(
        shared.spec,
        resources.database,
        engine,
        settings=settings,
        permissions=permissions.accounts,
        now=resources.pacing.now,
    )
    head_state = partial(read_head_state, chain)
    admission = TransactionAdmission(shared.spec, config.pool, head_state, permissions.accounts)
    return ChainParts(engine, differences, permissions, chain, TransactionPool(config.pool, admission, head_state))
