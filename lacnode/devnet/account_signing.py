"""Signs for the accounts of a devnet, whose keys are public: transactions and messages. Must not know other keys."""

from collections.abc import Mapping, Sequence

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.typed_data import hash_typed_data
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import address_from_hex, from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import ACCESS_LIST, FEE_MARKET, LEGACY, encode_signed_transaction
from lacnode.rpc.parameters import parse_quantity

QUANTITIES = ("nonce", "gas", "value", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas")
"""The numbers of a call object that are signed."""


class UnknownAccountError(Exception):
    """No account of the devnet has this address."""


class AccountSigner:
    """Signs with the keys of `accounts` for the chain with the id `chain_id`."""

    def __init__(self, accounts: Sequence[DevnetAccount], chain_id: int) -> None:
        self._keys = {
            account.address.lower(): NodeKey.from_private_key(from_hex(account.private_key)) for account in accounts
        }
        self._chain_id = chain_id

    def key(self, address: str) -> NodeKey:
        """Return the key of the account at `address` (hexadecimal digits after 0x, in any case). UnknownAccountError if
        there is none.
        """
        key = self._keys.get(address.lower())
        if key is None:
            raise UnknownAccountError(f"{address[:80]} is no account of this devnet; eth_accounts lists them")
        return key

    def sign_message(self, address: str, message: bytes) -> str:
        """Return the signature of a message as EIP-191 has it: `r || s || v` (65 bytes, v 27 or 28) as hexadecimal text
        with 0x. `address` is that of the account, as hexadecimal text with 0x. UnknownAccountError for other
        accounts."""
        return self._sign_hash(address, keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message))

    def sign_typed_data(self, address: str, document: object) -> str:
        """Return the signature of typed data as EIP-712 has it: `r || s || v` (65 bytes, v 27 or 28) as hexadecimal
        text with 0x. `address` is that of the account, as hexadecimal text with 0x. TypedDataError if `document` is no
        typed data, and UnknownAccountError for other accounts."""
        return self._sign_hash(address, hash_typed_data(document))

    def _sign_hash(self, address: str, digest: bytes) -> str:
        signature = self.key(address).sign(digest)
        return to_hex(signature[:64] + bytes([27 + signature[64]]))

    def sign_transaction(self, call: Mapping[str, object]) -> str:
        """Return the signed transaction of a call object, as hexadecimal text with 0x. Its type follows from the
        fields: 2 with a maximum fee, 1 with an access list alone, else 0. The call object must be complete: a missing
        value is signed as 0, missing data as empty, and a missing `to` as a creation. UnknownAccountError if `from` is
        no account of the devnet, KeyError if it is missing. RpcError, ValueError, KeyError or TypeError if a value is
        malformed.
        """
        key = self.key(str(call["from"]))
        type_ = _type_of(call)
        payload = self._payload(call, type_)
        unsigned = [*payload, rlp.encode_scalar(self._chain_id), b"", b""] if type_ == LEGACY else payload
        encoded = rlp.encode(unsigned)
        signature = key.sign(keccak256(encoded if type_ == LEGACY else bytes([type_]) + encoded))
        parity = signature[64] + (35 + 2 * self._chain_id if type_ == LEGACY else 0)
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
        return to_hex(encode_signed_transaction(type_, payload, parity, r, s))

    def _payload(self, call: Mapping[str, object], type_: int) -> list[RlpValue]:
        to = call.get("to")
        target = b"" if to is None else address_from_hex(str(to))
        data = from_hex(str(call.get("data") or "0x"))
        body: list[RlpValue] = [_scalar(call, "gas"), target, _scalar(call, "value"), data]
        nonce = _scalar(call, "nonce")
        if type_ == LEGACY:
            return [nonce, _scalar(call, "gasPrice"), *body]
        access_list = _access_list(call.get("accessList") or [])
        if type_ == ACCESS_LIST:
            return [rlp.encode_scalar(self._chain_id), nonce, _scalar(call, "gasPrice"), *body, access_list]
        fees = [_scalar(call, "maxPriorityFeePerGas"), _scalar(call, "maxFeePerGas")]
        return [rlp.encode_scalar(self._chain_id), nonce, *fees, *body, access_list]


def _type_of(call: Mapping[str, object]) -> int:
    if call.get("maxFeePerGas") is not None or call.get("maxPriorityFeePerGas") is not None:
        return FEE_MARKET
    return ACCESS_LIST if call.get("accessList") else LEGACY


def _scalar(call: Mapping[str, object], name: str) -> bytes:
    value = call.get(name)
    return rlp.encode_scalar(0 if value is None else parse_quantity(value, name))


def _access_list(entries: object) -> list[RlpValue]:
    if not isinstance(entries, list):
        raise ValueError("accessList: a list was expected")
    return [
        [address_from_hex(str(entry["address"])), [from_hex(str(key)) for key in entry["storageKeys"]]]
        for entry in entries
    ]
