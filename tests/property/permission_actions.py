"""Random actions of the administrators of lacnode's permissioning contracts. After each of them there must be a way back:
an account that is an admin and may still call the contracts that hold the rules.

`python -m tests.property.permission_actions 100000` does so many actions, on all cores, with the native engine where it is
built. A second number is the first seed. Each action ends a sequence of its own that began with the genesis.
"""

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.evm.engine_kind import EngineKind
from lacnode.permissioning.abi import ADMIN_NAME, NODE_INGRESS_NAME, RULES_NAME, encode_transaction_call
from lacnode.permissioning.artifacts import load_artifact
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from tests.support.contract_network import (
    ACCOUNT_INGRESS,
    ACCOUNT_RULES,
    ADMIN,
    GAS,
    NODE_INGRESS,
    NODE_RULES,
    OUTSIDER,
    Contracts,
    call_data,
)
from tests.support.engines import use, why_skipped
from tests.support.evm_network import RICH, Network, signed

THIRD = NodeKey.from_private_key(keccak256(b"third"))
KEYS = (RICH, OUTSIDER, THIRD)
YES = bytes(31) + b"\x01"

WALK_ACTIONS = 50
"""Actions from one genesis on."""

NAMES = (ADMIN_NAME, RULES_NAME, NODE_INGRESS_NAME, b"other".ljust(32, b"\0"))


class LockedOutError(AssertionError):
    """No admin can change the rules any more. The text has the actions that led there."""


@cache
def _start() -> tuple[Network, BlockHeader, tuple[bytes, ...], tuple[int, ...]]:
    """A network with everything an admin might confuse, its header, the addresses, and the next nonces of KEYS."""
    contracts = Contracts()
    for key in (OUTSIDER, THIRD):
        contracts.send(ACCOUNT_RULES, "addAccount(address)", key.address)
        contracts.send(ACCOUNT_RULES, "setDeployRight(address,bool)", key.address, True)
    creations = (
        load_artifact("Admin").bytecode + encode(["address[]"], [[OUTSIDER.address]]),
        load_artifact("Admin").bytecode + encode(["address[]"], [[RICH.address, THIRD.address]]),
        load_artifact("AccountRules").bytecode + encode(["address"], [ACCOUNT_INGRESS]),
        load_artifact("NodeRules").bytecode + encode(["address"], [NODE_INGRESS]),
        load_artifact("AccountIngress").bytecode,
    )
    others = []
    for creation in creations:
        transaction = signed(RICH, contracts.next_nonce(), data=creation, gas=20_000_000)
        (address,) = contracts.network.execute(transaction).created
        assert address is not None
        others.append(address)
    addresses = (ACCOUNT_INGRESS, ACCOUNT_RULES, ADMIN, NODE_INGRESS, NODE_RULES, *others)
    nonces = tuple(contracts.network.state.nonce(key.address) for key in KEYS)
    return contracts.network, contracts.network.header, addresses, nonces


class Walk:
    """Actions drawn from `rng`, one after the other, on a network that begins anew."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._network, header, self._contracts, nonces = _start()
        self._network.header = header
        self._nonces = dict(zip(KEYS, nonces, strict=True))
        self.done: list[str] = []

    def step(self) -> bool:
        """Do one action; whether it changed something. LockedOutError if there is no way back from it."""
        key = self._rng.choice(KEYS)
        signature, values = self._action()
        contract = self._rng.choice(self._having(signature))
        if not self._may_send(key.address, contract):
            return False
        transaction = signed(key, self._nonces[key], to=contract, data=call_data(signature, *values), gas=GAS)
        self._nonces[key] += 1
        (receipt,) = self._network.execute(transaction).receipts
        if receipt.status != 1:
            return False
        name = f"0x{contract[-2:].hex()}" if contract in self._contracts else "?"
        self.done.append(f"{KEYS.index(key)} calls {name}.{signature} with {values}")
        if not any(self._has_way_back(other.address) for other in KEYS):
            raise LockedOutError("\n".join(self.done))
        return True

    def _having(self, signature: str) -> Sequence[bytes]:
        """The contracts that have a function of this kind; now and then any of them."""
        ingress, rules, admin, node_ingress, node_rules, first, second, new_rules, new_node_rules, new_ingress = (
            self._contracts
        )
        if self._rng.random() < 0.02:
            return self._contracts
        if "Contract" in signature:
            return ingress, node_ingress, new_ingress
        if "Admin" in signature:
            return admin, first, second
        return rules, rules, new_rules, node_rules, new_node_rules

    def _action(self) -> tuple[str, Sequence[Any]]:
        """A function of any of the contracts, with addresses that exist and some that do not."""
        pick = self._rng.choice
        people = [*(key.address for key in KEYS), b"\x77" * 20]
        anything = [*people, *self._contracts]
        actions: dict[str, Callable[[], Sequence[Any]]] = {
            "setContractAddress(bytes32,address)": lambda: (pick(NAMES), pick(anything)),
            "removeContract(bytes32)": lambda: (pick(NAMES),),
            "addAdmin(address)": lambda: (pick(anything),),
            "removeAdmin(address)": lambda: (pick(people),),
            "addAccount(address)": lambda: (pick(people),),
            "removeAccount(address)": lambda: (pick(people),),
            "setDeployRight(address,bool)": lambda: (pick(people), pick((True, False))),
            "restrictTargets(bool)": lambda: (pick((True, False)),),
            "addTarget(address)": lambda: (pick(anything),),
            "removeTarget(address)": lambda: (pick(anything),),
            "setGasCeiling(uint128)": lambda: (pick((0, 1, 21_000, 2**128 - 1)),),
            "enterReadOnly()": tuple,
            "exitReadOnly()": tuple,
        }
        signature = pick(sorted(actions))
        return signature, actions[signature]()

    def _has_way_back(self, account: bytes) -> bool:
        """Whether `account` is an admin of the account rules and may call all that these hang on."""
        if self._ask(ACCOUNT_INGRESS, call_data("isAuthorized(address)", account)) != YES:
            return False
        names = (ADMIN_NAME, RULES_NAME)
        answers = [self._ask(ACCOUNT_INGRESS, call_data("getContractAddress(bytes32)", name)) for name in names]
        targets = [ACCOUNT_INGRESS, *(answer[12:] for answer in answers if any(answer))]
        return all(self._may_send(account, target) for target in targets)

    def _may_send(self, sender: bytes, target: bytes) -> bool:
        """What a node asks before it takes a transaction."""
        return (
            self._ask(ACCOUNT_INGRESS, encode_transaction_call(UnsignedTransaction(to=target, gas_limit=GAS), sender))
            == YES
        )

    def _ask(self, contract: bytes, data: bytes) -> bytes:
        result = self._network.call(to=contract, data=data, gas=GAS)
        return result.output if result.success else b""


def walk(seed: int) -> int:
    """How many of WALK_ACTIONS random actions changed something."""
    steps = Walk(random.Random(seed))
    return sum(steps.step() for _ in range(WALK_ACTIONS))


def main(actions: int, first_seed: int = 0) -> int:
    """Do `actions` random actions and say how it went; the exit status."""
    walks, started, changes = -(-actions // WALK_ACTIONS), time.monotonic(), 0
    kind = EngineKind.PYTHON if why_skipped(EngineKind.NATIVE) else EngineKind.NATIVE
    with multiprocessing.Pool(os.cpu_count(), use, (kind,)) as pool:
        for done, changed in enumerate(pool.imap_unordered(walk, range(first_seed, first_seed + walks)), 1):
            changes += changed
            if done % 20 == 0:
                print(f"{done * WALK_ACTIONS:,} of {walks * WALK_ACTIONS:,} actions", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    print(
        f"{walks * WALK_ACTIONS:,} actions from seed {first_seed}, {kind.value}, {changes:,} of them changed something, "
        f"0 locked out, {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) if sys.argv[1:] else main(10_000))
