"""A transaction as py-evm's executors look at one: names and conventions are py-evm's.

Made from a decoded transaction and its sender, so that py-evm neither decodes nor recovers anything again.
"""

from dataclasses import dataclass

from eth.vm.forks.prague.transactions import Authorization

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import CallRequest
from lacnode.evm.validation import initcode_gas, intrinsic_gas
from lacnode.primitives.transaction import ACCESS_LIST, FEE_MARKET, LEGACY, AccessListEntry, Transaction


@dataclass(slots=True)
class EvmTransaction:
    """What py-evm reads of a transaction while it executes it; `to` is empty for a creation.

    `intrinsic_gas` is without the part for init code, which py-evm charges with the first instruction.
    """

    type_id: int
    sender: bytes
    nonce: int
    gas: int
    gas_price: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    to: bytes
    value: int
    data: bytes
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...]
    intrinsic_gas: int
    authorization_list: tuple[Authorization, ...] = ()
    blob_versioned_hashes: tuple[bytes, ...] = ()
    r: int = 0
    s: int = 0
    y_parity: int = 0


def of_transaction(transaction: Transaction, sender: bytes, fork: Fork) -> EvmTransaction:
    """`transaction`, signed by `sender`, for `fork`."""
    price = transaction.gas_price
    return EvmTransaction(
        type_id=transaction.type,
        sender=sender,
        nonce=transaction.nonce,
        gas=transaction.gas_limit,
        gas_price=transaction.max_gas_price,
        max_fee_per_gas=transaction.max_gas_price,
        max_priority_fee_per_gas=price if price is not None else transaction.max_priority_fee_per_gas or 0,
        to=transaction.to or b"",
        value=transaction.value,
        data=transaction.data,
        access_list=_slots(transaction.access_list),
        intrinsic_gas=_upfront_gas(
            transaction.data, transaction.is_creation, fork, transaction.access_list, len(transaction.authorizations)
        ),
        authorization_list=tuple(
            Authorization(a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s) for a in transaction.authorizations
        ),
        blob_versioned_hashes=transaction.blob_versioned_hashes,
    )


def of_call(call: CallRequest, gas: int, nonce: int, base_fee: int | None, fork: Fork) -> EvmTransaction:
    """A call as a transaction that would do the same; free unless the caller names a price."""
    free = call.allow_exceeding_balance
    maximum = 0 if free else call.gas_price if call.gas_price is not None else call.max_fee_per_gas or 0
    tip = 0 if free else call.gas_price if call.gas_price is not None else call.max_priority_fee_per_gas or 0
    is_fee_market = base_fee is not None and call.gas_price is None
    return EvmTransaction(
        type_id=FEE_MARKET if is_fee_market else ACCESS_LIST if call.access_list else LEGACY,
        sender=call.sender,
        nonce=nonce,
        gas=gas,
        gas_price=maximum,
        max_fee_per_gas=maximum,
        max_priority_fee_per_gas=tip,
        to=call.to or b"",
        value=call.value,
        data=call.data,
        access_list=_slots(call.access_list),
        intrinsic_gas=_upfront_gas(call.data, call.to is None, fork, call.access_list),
    )


def _upfront_gas(
    data: bytes, is_creation: bool, fork: Fork, access_list: tuple[AccessListEntry, ...], authorizations: int = 0
) -> int:
    gas = intrinsic_gas(data, is_creation, fork, access_list, authorizations)
    return gas - initcode_gas(data, fork) if is_creation else gas


def _slots(access_list: tuple[AccessListEntry, ...]) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    return tuple((address, tuple(int.from_bytes(key) for key in keys)) for address, keys in access_list)
