"""A chain that is only read: what a reader process answers calls from. Must not write."""

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.chain_store import DatabaseNodeStore, StoredChain
from lacnode.chain.head import Head
from lacnode.chain.validator_history import ValidatorHistory
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.evm.engine import CallRequest, CallResult, ExecutionEngine, OpenBlock, StateView
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives.header import BlockHeader
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import StorageCorruptError


class ReadOnlyChain(ChainHistory):
    """The chain of `spec` in `database`, which has a genesis. StorageCorruptError if it has none. `evm` executes calls."""

    def __init__(self, spec: ChainSpec, database: Database, evm: EngineKind = EngineKind.AUTO) -> None:
        with database.read() as snapshot:
            stored = StoredChain(snapshot)
            genesis = stored.block_of(stored.genesis_hash() or b"")
        if genesis is None:
            raise StorageCorruptError("the database has no genesis block")
        super().__init__(database, genesis)
        self.spec = spec
        self._validators = ValidatorHistory(spec.ibft, self)
        self._head = Head(genesis.header, on_chain_hash(genesis.header), genesis.header.difficulty)
        self._engine: ExecutionEngine = make_engine(spec, DatabaseNodeStore(database), kind=evm)

    @property
    def head(self) -> Head:
        """The block that calls about the latest block mean."""
        return self._head

    def move_to(self, head_hash: bytes) -> bool:
        """Make the block with `head_hash` the head; False if the database does not show it."""
        if head_hash != self._head.hash:
            header = self.header_of(head_hash)
            if header is None:
                return False
            self._head = Head(header, head_hash, self.total_difficulty_of(header))
        return True

    def validators_after(self, header: BlockHeader) -> tuple[bytes, ...]:
        """Who agrees on the block after `header`, ascending. `header` is a block of the chain."""
        return self._validators.tally_after(header).validators

    def state_at(self, header: BlockHeader) -> StateView:
        """Accounts after `header`."""
        return self._engine.accounts(header.state_root)

    def call(self, header: BlockHeader, call: CallRequest) -> CallResult:
        """What `call` would do on the state after `header`, within that block's own surroundings."""
        return self._engine.call(header.state_root, header, call, self.hash_at)

    def open_block(self, header: BlockHeader) -> OpenBlock:
        """A block on the state after `header`, within that block's own surroundings, for private messages."""
        return self._engine.open_block(header.state_root, header, self.hash_at)
