"""What a devnet's administrator orders by transactions: changes of accounts (`hardhat_setCode` and its kin), and calls in
the name of accounts without a key (`hardhat_impersonateAccount`).

The genesis of a devnet names the administrator (`config.lacnode.stateAdministrator`). Every validator
executes its transactions to the addresses of this file by the same rule (`py_evm_administration`). A transaction of
another sender to these addresses is an ordinary one. Must have no effect on a chain whose genesis is not a devnet's.
"""

from dataclasses import dataclass

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.system_contracts import HISTORY_STORAGE_ADDRESS
from lacnode.evm.transaction_validation import MAX_CODE_BYTES, MAX_NONCE
from lacnode.primitives import rlp
from lacnode.primitives.rlp import RlpFields, RlpItem, RlpValue, as_bytes, as_scalar

STATE_CHANGE_ADDRESS = b"lacnode-state-change"
"""The data of a transaction to this address is an `AccountUpdate`."""

IMPERSONATION_ADDRESS = b"lacnode-impersonated"
"""The data of a transaction to this address is an `ImpersonatedCall`."""

ADMINISTRATION_ADDRESSES = frozenset((STATE_CHANGE_ADDRESS, IMPERSONATION_ADDRESS))

ACCOUNT_GAS, SLOT_GAS, CODE_BYTE_GAS = 25_000, 22_100, 200
"""The gas of an account, a slot and a byte of code: about what the EVM takes. So the gas of a block bounds the changes."""

HIGHEST_NONCE = MAX_NONCE - 1
"""The highest nonce that an account may have (EIP-2681)."""


class InvalidAdministrationError(ValueError):
    """A transaction of the administrator that cannot be carried out. The text is the reason of its revert."""


@dataclass(frozen=True, slots=True)
class AdministrationRules:
    """What the administrator (20 bytes) may change in a block of `fork`. `protected` accounts (20 bytes each) stay as
    they are: without them no block could be made. Code has at most `max_code_bytes`."""

    administrator: bytes
    protected: frozenset[bytes]
    max_code_bytes: int
    fork: Fork


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """New values of the account at `address` (20 bytes). None leaves a value as it is. The balance is in wei. `storage`
    has pairs of slot and value, numbers of 256 bits. Slots that are not in it stay."""

    address: bytes
    balance: int | None = None
    nonce: int | None = None
    code: bytes | None = None
    storage: tuple[tuple[int, int], ...] = ()

    @property
    def gas(self) -> int:
        """The gas (gas units) of the change, without that of its transaction."""
        return ACCOUNT_GAS + SLOT_GAS * len(self.storage) + CODE_BYTE_GAS * len(self.code or b"")

    def encode_transaction_data(self) -> bytes:
        """Return the data of the administrator's transaction to `STATE_CHANGE_ADDRESS`, in RLP. A list of one item stands
        for a value, the empty list for None."""
        balance: RlpValue = [] if self.balance is None else [rlp.encode_scalar(self.balance)]
        nonce: RlpValue = [] if self.nonce is None else [rlp.encode_scalar(self.nonce)]
        code: RlpValue = [] if self.code is None else [self.code]
        storage: RlpValue = [[rlp.encode_scalar(slot), rlp.encode_scalar(value)] for slot, value in self.storage]
        return rlp.encode([self.address, balance, nonce, code, storage])


@dataclass(frozen=True, slots=True)
class ImpersonatedCall:
    """A call that the account `sender` makes of the account `to` (20 bytes each), with `value` in wei, as if it had signed a
    transaction."""

    sender: bytes
    to: bytes
    value: int
    data: bytes

    def encode_transaction_data(self) -> bytes:
        """Return the data of the administrator's transaction to `IMPERSONATION_ADDRESS`, in RLP: sender, recipient, value,
        data."""
        return rlp.encode([self.sender, self.to, rlp.encode_scalar(self.value), self.data])


def state_administrator_of(spec: ChainSpec) -> bytes | None:
    """Return the administrator's account (20 bytes). None on a chain without administrator."""
    return None if spec.devnet is None else spec.devnet.state_administrator


def administration_rules(spec: ChainSpec, height: int, fork: Fork) -> AdministrationRules | None:
    """Return the rules for block `height`, which is of `fork`. None on a chain without administrator."""
    administrator = state_administrator_of(spec)
    if administrator is None:
        return None
    protected = {administrator, *ADMINISTRATION_ADDRESSES, HISTORY_STORAGE_ADDRESS}
    if spec.request_contracts is not None:
        protected |= {spec.request_contracts.withdrawal, spec.request_contracts.consolidation}
    limit = spec.max_contract_bytes_at(height)
    return AdministrationRules(administrator, frozenset(protected), MAX_CODE_BYTES if limit is None else limit, fork)


def is_administration_address(to: bytes | None, spec: ChainSpec) -> bool:
    """Return whether `to` (20 bytes, None for a creation) is one of `ADMINISTRATION_ADDRESSES`. A transaction or a call
    to such an address may be one of the administrator: the sender is not looked at. Always False on a chain without
    administrator."""
    return to in ADMINISTRATION_ADDRESSES and state_administrator_of(spec) is not None


def decode_account_update(data: bytes) -> AccountUpdate:
    """Return the change in the data of a transaction, as `AccountUpdate.encode_transaction_data` made it.
    InvalidAdministrationError if the data is malformed. Whether the change is allowed is not checked."""
    try:
        fields = RlpFields(rlp.decode_list(data, "account update"), "account update")
        return _read_account_update(fields)
    except rlp.RlpError as error:
        raise InvalidAdministrationError(f"the data is no change of an account: {error}") from None


def decode_impersonated_call(data: bytes) -> ImpersonatedCall:
    """Return the call in the data of a transaction, as `ImpersonatedCall.encode_transaction_data` made it.
    InvalidAdministrationError if the data is malformed. Whether the call is allowed is not checked."""
    try:
        fields = RlpFields(rlp.decode_list(data, "impersonated call"), "impersonated call")
        call = ImpersonatedCall(
            fields.bytes("sender", 20), fields.bytes("to", 20), fields.scalar("value"), fields.bytes("data")
        )
        fields.check_no_fields_left()
        return call
    except rlp.RlpError as error:
        raise InvalidAdministrationError(f"the data is no impersonated call: {error}") from None


def _read_account_update(fields: RlpFields) -> AccountUpdate:
    address = fields.bytes("address", 20)
    balance, nonce, code = (_at_most_one(fields.list(name), name) for name in ("balance", "nonce", "code"))
    storage = tuple(_read_slot(item) for item in fields.list("storage"))
    fields.check_no_fields_left()
    return AccountUpdate(
        address,
        as_scalar(balance[0], "balance") if balance else None,
        as_scalar(nonce[0], "nonce", 8) if nonce else None,
        as_bytes(code[0], "code") if code else None,
        storage,
    )


def _at_most_one(items: list[RlpItem], name: str) -> list[RlpItem]:
    """Return `items`. RlpError if there are several."""
    if len(items) > 1:
        raise rlp.RlpError(f"{name}: {len(items)} values")
    return items


def _read_slot(item: RlpItem) -> tuple[int, int]:
    fields = RlpFields(rlp.as_list(item, "slot"), "slot")
    slot, value = fields.scalar("number"), fields.scalar("value")
    fields.check_no_fields_left()
    return slot, value
