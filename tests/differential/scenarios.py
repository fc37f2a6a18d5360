"""Random networks, and random transactions for them: valid ones of every type, and some that must be refused."""

import random
from dataclasses import dataclass, replace
from typing import Any

from lacnode.chainspec.forks import Fork, ForkSchedule
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec, GenesisAccount
from lacnode.crypto.node_key import NodeKey
from lacnode.crypto.secp256k1 import sign
from lacnode.evm.engine import StateView
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import (
    ACCESS_LIST,
    BLOB,
    FEE_MARKET,
    LEGACY,
    SET_CODE,
    Transaction,
    encode_signed_transaction,
)
from tests.differential.programs import SLOTS, Programs

CHAIN_ID = 1337
KEYS = tuple(NodeKey.from_private_key(keccak256(b"sender %d" % number)) for number in range(4))
CONTRACTS = tuple(b"\xc0" * 19 + bytes([number]) for number in range(6))
NOBODY = b"\xee" * 20
COINBASES = (b"\xcb" * 20, CONTRACTS[0], KEYS[0].address)
FORKS = (Fork.BYZANTIUM, *(fork for fork in Fork if fork >= Fork.PETERSBURG))
GAS_LIMIT = 2_000_000
"""Gas that the transactions of a block may use together, and a call without a limit of its own: py-evm may take a second
for a million. A call of a precompile that the native engine gives to Python fits (`LONG_BLAKE2F_ROUNDS`)."""

TRANSACTION_GAS, SCARCE_GAS = (100_000, 100_000, 100_000, 200_000, 200_000, 500_000, 1_000_000), (21_000, 50_000)


def fork_of(seed: int) -> Fork:
    """The fork of the scenario of `seed`, where no other is asked for: each fork has as many seeds."""
    return FORKS[seed % len(FORKS)]


@dataclass(frozen=True, slots=True)
class Network:
    """A network's rules, its first accounts, and what its blocks have in common."""

    fork: Fork
    spec: ChainSpec
    accounts: tuple[GenesisAccount, ...]
    coinbase: bytes
    base_fee: int | None


def random_network(rng: random.Random, fork: Fork) -> Network:
    """A network in `fork`."""
    document: dict[str, Any] = {"config": {"ibft2": {}}, "difficulty": "0x1", "gasLimit": hex(GAS_LIMIT)}
    if rng.random() < 0.2:
        document["config"]["ibft2"]["blockreward"] = hex(5)
    if rng.random() < 0.1:
        document["config"]["contractSizeLimit"] = rng.choice((100, 1_000_000))
    has_market = fork >= Fork.LONDON
    if has_market and rng.random() < 0.5:
        document["config"].update(londonBlock=0, zeroBaseFee=True)
    spec = parse_genesis(document)
    schedule = ForkSchedule(by_block=((0, fork),), by_time=(), id_blocks=(), id_times=())
    spec = replace(spec, chain_id=CHAIN_ID, forks=schedule)
    base_fee = None if not has_market else 0 if spec.zero_base_fee else rng.choice((0, 7))
    return Network(fork, spec, _accounts(rng, fork), rng.choice(COINBASES), base_fee)


def _accounts(rng: random.Random, fork: Fork) -> tuple[GenesisAccount, ...]:
    addresses = (*CONTRACTS, *(key.address for key in KEYS), NOBODY, b"\xcb" * 20)
    programs = Programs(rng, addresses)
    accounts = []
    for address in CONTRACTS:
        code = programs.program()
        if rng.random() < 0.1:
            # Before Prague it is no delegation, and a call to it fails.
            code = b"\xef\x01\x00" + programs.address()
        storage = tuple((slot, rng.randrange(1, 3)) for slot in range(SLOTS) if rng.random() < 0.4)
        accounts.append(GenesisAccount(address, rng.choice((0, 5, 10**18)), 1, code, storage))
    for key in KEYS[:3]:
        code = b"\xef\x01\x00" + rng.choice(CONTRACTS) if fork >= Fork.PRAGUE and rng.random() < 0.1 else b""
        nonce = rng.choice((0, 0, 5))
        accounts.append(GenesisAccount(key.address, rng.choice((10**12, 10**24)), nonce, code, ()))
    return tuple(accounts)


class Senders:
    """Makes transactions, and keeps what the next nonce of each sender should be."""

    def __init__(self, rng: random.Random, network: Network) -> None:
        self._rng = rng
        self._network = network
        self._programs = Programs(rng, (*CONTRACTS, *(key.address for key in KEYS), NOBODY))
        self._nonces = {account.address: account.nonce for account in network.accounts}

    def follow(self, state: StateView) -> None:
        """Go on from the nonces in `state`. Without it one refused transaction would make all later ones of its sender
        wrong."""
        self._nonces = {key.address: state.nonce(key.address) for key in KEYS}

    def transaction(self) -> Transaction:
        """One that is probably valid."""
        rng = self._rng
        key = rng.choice(KEYS[:3] if self._network.base_fee else KEYS)
        nonce = self._nonces.get(key.address, 0)
        self._nonces[key.address] = nonce + 1
        wrong = rng.random()
        if wrong < 0.01:
            nonce = max(0, nonce + rng.choice((-1, 1)))
        gas = rng.choice(TRANSACTION_GAS if rng.random() < 0.97 else SCARCE_GAS)
        to: bytes = rng.choice((*CONTRACTS, *CONTRACTS, NOBODY, KEYS[0].address, b"", self._programs.address()))
        # The last key has no account, so that it can pay for nothing.
        value = 10**30 if wrong >= 0.99 else 0 if key is KEYS[3] else rng.choice((0, 0, 0, 1, 7))
        data = self._programs.init_code() if to == b"" else rng.randbytes(rng.choice((0, 4, 36, 100)))
        return self._signed(key, nonce, gas, to, value, data)

    def _signed(self, key: NodeKey, nonce: int, gas: int, to: bytes, value: int, data: bytes) -> Transaction:
        rng, fork = self._rng, self._network.fork
        types = [LEGACY, LEGACY]
        types += [ACCESS_LIST] if fork >= Fork.BERLIN else []
        types += [FEE_MARKET] if fork >= Fork.LONDON else []
        types += [BLOB] if fork >= Fork.CANCUN and to else []
        types += [SET_CODE, SET_CODE] if fork >= Fork.PRAGUE and to else []
        type_ = rng.choice(types) if rng.random() < 0.995 else rng.choice((ACCESS_LIST, FEE_MARKET))
        price = (self._network.base_fee or 0) + (0 if key is KEYS[3] else rng.choice((0, 0, 0, 1, 3)))
        body: list[RlpValue] = [rlp.encode_scalar(gas), to, rlp.encode_scalar(value), data]
        if type_ == LEGACY:
            return self._legacy(key, [rlp.encode_scalar(nonce), rlp.encode_scalar(price), *body])
        fees = (
            [rlp.encode_scalar(rng.choice((0, min(1, price), price))), rlp.encode_scalar(price)]
            if type_ > ACCESS_LIST
            else [rlp.encode_scalar(price)]
        )
        payload = [rlp.encode_scalar(CHAIN_ID), rlp.encode_scalar(nonce), *fees, *body, self._access_list()]
        if type_ == BLOB:
            payload += self._blobs()
        if type_ == SET_CODE:
            payload.append([self._authorization() for _ in range(rng.choice((1, 2, 3)) if rng.random() < 0.98 else 0)])
        signature = sign(keccak256(bytes([type_]) + rlp.encode(payload)), key.private_key)
        return Transaction.decode(encode_signed_transaction(type_, payload, signature[64], *_r_and_s(signature)))

    def _legacy(self, key: NodeKey, payload: list[RlpValue]) -> Transaction:
        is_protected = self._rng.random() < 0.7
        signed = [*payload, rlp.encode_scalar(CHAIN_ID), b"", b""] if is_protected else payload
        signature = sign(keccak256(rlp.encode(signed)), key.private_key)
        v = signature[64] + (35 + 2 * CHAIN_ID if is_protected else 27)
        return Transaction.decode(encode_signed_transaction(LEGACY, payload, v, *_r_and_s(signature)))

    def _access_list(self) -> list[RlpValue]:
        rng = self._rng
        slots = [[slot.to_bytes(32) for slot in range(SLOTS) if rng.random() < 0.4] for _ in range(rng.randrange(3))]
        return [[self._programs.address(), keys] for keys in slots]

    def _blobs(self) -> list[RlpValue]:
        """The fee for a blob, and the hashes of blobs: rarely of another version, too many or none."""
        rng = self._rng
        count = rng.choice((1, 2, 3, 6)) if rng.random() < 0.97 else rng.choice((0, 7, 10))
        version = b"\1" if rng.random() < 0.98 else b"\2"
        return [
            rlp.encode_scalar(rng.choice((1, 1, 1, 1, 5, 10**9))),
            [version + rng.randbytes(31) for _ in range(count)],
        ]

    def _authorization(self) -> list[RlpValue]:
        rng = self._rng
        key = rng.choice(KEYS)
        wrong_by, chain_id = rng.choice((0, 0, 0, 0, 0, 0, 0, 1)), rng.choice((0, CHAIN_ID, CHAIN_ID, CHAIN_ID, 5))
        nonce = self._nonces.get(key.address, 0) + wrong_by
        target = rng.choice((*CONTRACTS, bytes(20), self._programs.address()))
        fields: list[RlpValue] = [rlp.encode_scalar(chain_id), target, rlp.encode_scalar(nonce)]
        signature = sign(keccak256(b"\5" + rlp.encode(fields)), key.private_key)
        r, s = _r_and_s(signature)
        if not wrong_by and chain_id != 5:
            self._nonces[key.address] = nonce + 1
        return [*fields, rlp.encode_scalar(signature[64]), rlp.encode_scalar(r), rlp.encode_scalar(s)]


def _r_and_s(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
