"""The chain specification of a network: the content of its genesis file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lacnode.chainspec.forks import Fork, ForkSchedule
from lacnode.chainspec.goquorum_rules import GoQuorumRules
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.chainspec.permissioning_schedule import NO_EXCEPTIONS, PermissioningSchedule
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account of the genesis. `address` has 20 bytes, and the balance is in wei. `storage` has pairs of a slot and
    its value, numbers of 256 bits. `code` is empty for an account without code."""

    address: bytes
    balance: int
    nonce: int
    code: bytes
    storage: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class GenesisBlock:
    """Block 0 as the file describes it. The fields have the names, units and lengths of the header. `base_fee` is None
    if the header has none. `shanghai`, `cancun` and `prague` say whether the header has the fields of the fork."""

    parent_hash: bytes
    coinbase: bytes
    difficulty: int
    gas_limit: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int | None
    shanghai: bool
    cancun: bool
    prague: bool
    alloc: tuple[GenesisAccount, ...]
    blob_gas_used: int = 0
    excess_blob_gas: int = 0
    parent_beacon_block_root: bytes = bytes(32)

    def header(self, state_root: bytes) -> BlockHeader:
        """The genesis header with the root of the state of `alloc` (32 bytes). The execution engine computes the root."""
        return BlockHeader(
            parent_hash=self.parent_hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=self.coinbase,
            state_root=state_root,
            transactions_root=EMPTY_TRIE_ROOT,
            receipts_root=EMPTY_TRIE_ROOT,
            logs_bloom=EMPTY_BLOOM,
            difficulty=self.difficulty,
            number=0,
            gas_limit=self.gas_limit,
            gas_used=0,
            timestamp=self.timestamp,
            extra_data=self.extra_data,
            mix_hash=self.mix_hash,
            nonce=self.nonce,
            base_fee=self.base_fee,
            # Each fork adds fields at the end of the header. A field of a later fork would change the hash.
            withdrawals_root=EMPTY_TRIE_ROOT if self.shanghai else None,
            blob_gas_used=self.blob_gas_used if self.cancun else None,
            excess_blob_gas=self.excess_blob_gas if self.cancun else None,
            parent_beacon_block_root=self.parent_beacon_block_root if self.cancun else None,
            requests_hash=EMPTY_REQUESTS_HASH if self.prague else None,
        )


EMPTY_REQUESTS_HASH = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""SHA-256 of the empty string: the requests hash (EIP-7685) of a block without requests."""


@dataclass(frozen=True, slots=True)
class RequestContracts:
    """The addresses (20 bytes) of the contracts that collect requests from Prague on (EIP-7002, EIP-7251, EIP-6110)."""

    withdrawal: bytes
    consolidation: bytes
    deposit: bytes


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """The blobs of a block in one fork (EIP-7840): how many keep the price as it is (`target`), how many are allowed
    (`max`), and how slowly the price changes."""

    target: int
    max: int
    base_fee_update_fraction: int


NO_BLOBS = BlobSchedule(0, 0, 0)
CANCUN_BLOBS = BlobSchedule(3, 6, 3_338_477)
PRAGUE_BLOBS = BlobSchedule(6, 9, 5_007_716)


@dataclass(frozen=True, slots=True)
class DevnetRules:
    """What only a devnet has. Its chain may be reverted to an earlier block. Transactions of `state_administrator` (20
    bytes, None for no account) may change any account, except a few that the chain needs
    (`evm.state_administration`)."""

    state_administrator: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A parsed genesis file. `goquorum` is None if it is not that of a GoQuorum network. `zero_base_fee`: the file says
    `zeroBaseFee`.

    `contract_size_limit` is in bytes, None for the limit of the fork. `evm_stack_size` is in words of 32 bytes.
    `network_id` is the chain id: the node may be started with another one. `protocols` are (first height, name),
    ascending. `ibft` has the parameters of every protocol by height. `config_document` is the object `config` as
    written. `warnings` are sentences for the operator. `request_contracts` is None if the genesis has no Prague.
    `blob_schedules` are those of Cancun and of Prague. `devnet` is None on every chain but a devnet's.
    """

    chain_id: int
    network_id: int
    forks: ForkSchedule
    contract_size_limit: int | None
    evm_stack_size: int
    zero_base_fee: bool
    ibft: IbftSchedule
    genesis: GenesisBlock
    config_document: Mapping[str, object]
    warnings: tuple[str, ...]
    request_contracts: RequestContracts | None = None
    blob_schedules: tuple[BlobSchedule, BlobSchedule] = (CANCUN_BLOBS, PRAGUE_BLOBS)
    permissioning: PermissioningSchedule = NO_EXCEPTIONS
    protocols: tuple[tuple[int, str], ...] = ((0, "ibft2"),)
    """The name of the consensus protocol from each height on, ascending from height 0."""
    devnet: DevnetRules | None = None
    goquorum: GoQuorumRules | None = None
    constant_base_fee: int | None = None
    """The base fee in wei per gas of every block that this node builds from London on. None if it follows the parent.

    It is 0 with `zeroBaseFee`. With `fixedBaseFee` see `with_base_fee_if_fixed`. Blob gas costs nothing then, as in Besu.
    """

    def max_contract_bytes_at(self, height: int) -> int | None:
        """The most bytes of the code of a contract that block `height` deploys. None for the limit of the fork."""
        own = None if self.goquorum is None else self.goquorum.max_contract_bytes_at(height)
        return self.contract_size_limit if own is None else own

    def may_have_gas_price_at(self, height: int) -> bool:
        """Whether a transaction of block `height` may have a gas price above 0. Always True but on GoQuorum's
        chains."""
        return self.goquorum is None or self.goquorum.may_have_gas_price_at(height)

    def blob_schedule_of(self, fork: Fork) -> BlobSchedule:
        """The blobs of a block in `fork`. All numbers are 0 before Cancun."""
        # A comparison is 0 or 1, and the schedules are in the order Cancun, Prague.
        return NO_BLOBS if fork < Fork.CANCUN else self.blob_schedules[fork >= Fork.PRAGUE]


def with_base_fee_if_fixed(spec: ChainSpec, min_gas_price: int) -> ChainSpec:
    """`spec` for a node with this lowest gas price in wei (`--min-gas-price`). If the genesis says `fixedBaseFee`, this
    price is the base fee of the blocks that the node builds. Otherwise `spec` is returned as it is."""
    is_fixed = spec.constant_base_fee is not None and not spec.zero_base_fee
    return replace(spec, constant_base_fee=min_gas_price) if is_fixed else spec
