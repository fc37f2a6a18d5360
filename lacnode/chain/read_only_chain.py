"""A chain for reading only. A reader process answers RPC calls from it. This file must not write."""

from lacnode.chain.chain_store import DatabaseNodeStore, StoredChain
from lacnode.chain.executable_chain import ExecutableChain
from lacnode.chain.head import Head
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import StorageCorruptError


class ReadOnlyChain(ExecutableChain):
    """The chain of `spec` in `database`, for a process that only reads. `evm` chooses the engine that executes calls.
    `differences` counts where two engines differ, None if no caller reads the counts.

    Raises StorageCorruptError if there is no genesis, and NativeLibraryError if `evm` needs the native library and
    there is none that fits.
    """

    def __init__(
        self,
        spec: ChainSpec,
        database: Database,
        evm: EngineKind = EngineKind.AUTO,
        differences: EngineDifferences | None = None,
    ) -> None:
        with database.read() as snapshot:
            stored = StoredChain(snapshot)
            genesis = stored.block_of(stored.genesis_hash() or b"")
        if genesis is None:
            raise StorageCorruptError("the database has no genesis block")
        super().__init__(
            spec, database, genesis, make_engine(spec, DatabaseNodeStore(database), kind=evm, differences=differences)
        )
        # The genesis is the head until the node names another block, so calls have an answer from the start.
        self._head = Head(genesis.header, self.genesis_hash, genesis.header.difficulty)

    @property
    def head(self) -> Head:
        """The block that a call about the latest block means: the genesis before the first `move_to`."""
        return self._head

    def move_to(self, head_hash: bytes) -> bool:
        """Make the block with the on-chain hash `head_hash` (32 bytes) the head, and return True. Return False, and
        keep the head, if the database does not have it."""
        # The node tells each reader the new head. The commit may become visible in this process a moment later.
        if head_hash != self._head.hash:
            header = self.header_of(head_hash)
            if header is None:
                return False
            self._head = Head(header, head_hash, self.total_difficulty_of(header))
        return True
