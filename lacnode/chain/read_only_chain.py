"""A chain for reading only. A reader process answers RPC calls from it. This file must not write."""

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.chain_store import DatabaseNodeStore, StoredChain
from lacnode.chain.head import Head
from lacnode.chain.validator_history import ValidatorHistory
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.engine import CallRequest, CallResult, ExecutionEngine, OpenBlock, StateView
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives.header import BlockHeader
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import StorageCorruptError


class ReadOnlyChain(ChainHistory):
    """The chain of `spec` in `database`. `evm` executes calls. Raises StorageCorruptError if there is no genesis."""

    def __init__(self, spec: ChainSpec, database: Database, evm: EngineKind = EngineKind.AUTO) -> None:
        with database.read() as snapshot:
            stored = StoredChain(snapshot)
            genesis = stored.block_of(stored.genesis_hash() or b"")
        if genesis is None:
            raise StorageCorruptError("the database has no genesis block")
        super().__init__(database, genesis, protocols_of(spec))
        self.spec = spec
        self._validators = ValidatorHistory(spec.ibft, self.protocols, self)
        # The genesis is the head until the node names another block, so calls have an answer from the start.
        self._head = Head(genesis.header, self.protocols.block_hash(genesis.header), genesis.header.difficulty)
        self._engine: ExecutionEngine = make_engine(spec, DatabaseNodeStore(database), kind=evm)

    @property
    def head(self) -> Head:
        """The block that a call about the latest block means."""
        return self._head

    def move_to(self, head_hash: bytes) -> bool:
        """Make the block with `head_hash` the head. Return False if the database does not have it."""
        # The node tells each reader the new head. The commit may become visible in this process a moment later.
        if head_hash != self._head.hash:
            header = self.header_of(head_hash)
            if header is None:
                return False
            self._head = Head(header, head_hash, self.total_difficulty_of(header))
        return True

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """The validators of the block after `header`, ascending (20-byte addresses). `header` is a block of the chain."""
        return self._validators.tally_after(header).validators

    def state_at(self, header: BlockHeader) -> StateView:
        """The accounts after `header`."""
        return self._engine.accounts(header.state_root)

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        """The result of `call` on the state after `header`, with the number, the timestamp and the rules of that block."""
        return self._engine.call(header.state_root, header, call, self.hash_at)

    def open_block(self, header: BlockHeader) -> OpenBlock:
        """An open block on the state after `header`, with the values of that block, for private transactions."""
        return self._engine.open_block(header.state_root, header, self.hash_at)
