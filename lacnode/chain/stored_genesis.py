"""The genesis block: computed from the genesis file, stored in a new database, and compared at every later start.

This file must not let a node follow another network's chain by this network's rules.
"""

from lacnode.chain.block_errors import WrongGenesisError
from lacnode.chain.chain_store import StoredChain, write_genesis_hash, write_head_block, write_state
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.engine import ExecutionEngine
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError
from lacnode.storage.database import Database


def open_or_store_genesis(spec: ChainSpec, database: Database, engine: ExecutionEngine) -> Block:
    """The genesis block, computed from `spec`. It is stored with its state if the database is empty.

    Raises WrongGenesisError if the database has another one, or, for an empty database, if the extra data is not that
    of the chain's protocol. Raises StorageError.
    """
    # Computed at every start: the file may have been edited since the last one.
    root, nodes = engine.genesis_state()
    header = spec.genesis.header(root)
    block = Block(header, BlockBody(withdrawals=None if header.withdrawals_root is None else ()))
    protocols = protocols_of(spec)
    hash_ = protocols.block_hash(header)
    with database.read() as snapshot:
        stored = StoredChain(snapshot).genesis_hash()
    if stored is None:
        extra = _extra_data(protocols, header)
        with database.write() as batch:
            # In one batch: a crash must not leave a genesis without its state.
            write_state(batch, nodes)
            write_head_block(batch, block, hash_, (), has_vote=extra.vote is not None)
            write_genesis_hash(batch, hash_)
    elif stored != hash_:
        raise WrongGenesisError(
            f"the data directory holds the chain of genesis 0x{stored.hex()}, "
            f"the genesis file makes 0x{hash_.hex()}: another network, or an edited file"
        )
    return block


def _extra_data(protocols: ProtocolSchedule, header: BlockHeader) -> ExtraData:
    try:
        return protocols.extra_data(header)
    except RlpError as error:
        # A genesis that was made for another protocol. Block 1 could not name its validators.
        raise WrongGenesisError(
            f"block 0: extraData is not that of config.{protocols.protocol_at(0).name} in the genesis file: {error}"
        ) from None
