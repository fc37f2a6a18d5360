"""What an administrator's calls do to a permissioned network: some would lock everybody out, others make hostile rules.

Found before: `restrictTargets(true)` with an empty list, rules at an address without code, `setGasCeiling(1)` and the
removal of the last administrator locked everybody out, the administrator too. Rules that loop slowed blocks to 9.7 s. An
opcode in what looks like a compiler's metadata had the node keep an answer that changes with each block.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from lacnode.devnet.devnet_genesis import GAS_LIMIT
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.permissioning.abi import ADMIN_NAME, RULES_NAME
from lacnode.primitives.hexadecimal import from_hex
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.http import ask
from tests.siege.init_codes import deploying
from tests.siege.network import NetworkKind, SiegeNetwork
from tests.siege.permission_calls import (
    ACCOUNT_INGRESS,
    ACCOUNT_RULES,
    ADMIN_CONTRACT,
    MINED_SECONDS,
    PermittedAccount,
    admin_of,
    call_data,
    ordinary_account_of,
    setting_rules,
    spare_accounts_of,
)
from tests.siege.transactions import SiegeSender, raw

CODELESS = b"\x77" * 20
WAITING_TRANSFERS = 4
"""In the pools when the rules become hostile. Each needs the gas of a whole block, so others wait for few of them."""

HOSTILE_SECONDS = 10.0
ASKERS = 4
"""At each validator: clients that offer transactions of new accounts. The rules are asked about each."""


@dataclass(frozen=True, slots=True)
class Change:
    """A call of the administrator, whether it must revert, and the calls that undo it otherwise."""

    what: str
    contract: bytes
    data: bytes
    reverts: bool = False
    undo: Sequence[tuple[bytes, bytes]] = ()


def lock_out_calls(admin: bytes) -> list[Change]:
    """Calls that left no way back, or would without a rule against it. `admin` is the only administrator."""
    setting = "setContractAddress(bytes32,address)"
    return [
        Change(
            "restrictTargets(true) with an empty list",
            ACCOUNT_RULES,
            call_data("restrictTargets(bool)", True),
            undo=[(ACCOUNT_RULES, call_data("restrictTargets(bool)", False))],
        ),
        Change("rules at an address without code", ACCOUNT_INGRESS, setting_rules(CODELESS), reverts=True),
        Change(
            "setGasCeiling(1)",
            ACCOUNT_RULES,
            call_data("setGasCeiling(uint128)", 1),
            undo=[(ACCOUNT_RULES, call_data("setGasCeiling(uint128)", 0))],
        ),
        Change("removal of the last admin", ADMIN_CONTRACT, call_data("removeAdmin(address)", admin), reverts=True),
        Change(
            "removal of the last admin's account",
            ACCOUNT_RULES,
            call_data("removeAccount(address)", admin),
            undo=[
                (ACCOUNT_RULES, call_data("addAccount(address)", admin)),
                (ACCOUNT_RULES, call_data("setDeployRight(address,bool)", admin, True)),
            ],
        ),
        Change("rules that do not answer", ACCOUNT_INGRESS, setting_rules(ADMIN_CONTRACT), reverts=True),
        Change(
            "an admin contract without code", ACCOUNT_INGRESS, call_data(setting, ADMIN_NAME, CODELESS), reverts=True
        ),
        Change(
            "removal of the admin contract", ACCOUNT_INGRESS, call_data("removeContract(bytes32)", ADMIN_NAME), True
        ),
        Change(
            "enterReadOnly()",
            ACCOUNT_RULES,
            call_data("enterReadOnly()"),
            undo=[(ACCOUNT_RULES, call_data("exitReadOnly()"))],
        ),
        Change(
            "removal of the rules",
            ACCOUNT_INGRESS,
            call_data("removeContract(bytes32)", RULES_NAME),
            undo=[(ACCOUNT_INGRESS, setting_rules(ACCOUNT_RULES))],
        ),
    ]


def way_back(admin: bytes) -> list[tuple[bytes, bytes]]:
    """Calls after which ordinary accounts can send, whatever was not undone. Those that have nothing to undo revert."""
    calls = [call for change in lock_out_calls(admin) for call in change.undo]
    # Read-only rules can be changed in nothing else.
    return sorted(calls, key=lambda call: call != (ACCOUNT_RULES, call_data("exitReadOnly()")))


async def lock_outs(manifest: Manifest, sent: Sent) -> None:
    """One call after the other. After each, the administrator must undo it, and an ordinary account must be able to send."""
    admin, ordinary = admin_of(manifest), ordinary_account_of(manifest)
    for change in itertools.cycle(lock_out_calls(admin.address)):
        succeeded = await admin.changes(change.contract, change.data)
        if succeeded is None:
            sent.fault(f"the administrator's call is not in a block within {MINED_SECONDS:.0f} s: {change.what}")
        elif succeeded is change.reverts:
            sent.fault(f"{change.what} {'succeeded' if succeeded else 'reverted'}")
        sent.count(f"calls that {'revert' if change.reverts else 'are undone'}")
        for contract, data in change.undo:
            if not await admin.changes(contract, data):
                sent.fault(f"the administrator cannot undo: {change.what}")
        if not await ordinary.transfers():
            sent.fault(f"no transfer of an ordinary account is in a block after it was undone: {change.what}")


def looping_rules(friend: bytes) -> bytes:
    """The code of rules that permit `friend` everything, and loop when they are asked about another sender. So the ingress
    accepts them from `friend`."""
    start = len(_rules_code(friend, b""))
    return _rules_code(friend, bytes([0x5B, 0x60, start, 0x56]))


def parity_rules(friend: bytes) -> bytes:
    """The code of rules that permit `friend` everything, and others at odd timestamps. The opcode that reads the timestamp
    is in what looks like a compiler's metadata."""
    answer = bytes.fromhex("5b4260011660005260206000f3")
    head = b"\xa2\x64ipfs\x58\x22"
    metadata = head + answer.ljust(34, b"\0") + b"\x64solc\x43\x00\x08\x1e\x00\x33"
    # PUSH1 and JUMP to the answer, and INVALID, which a compiler puts in front of its metadata.
    target = len(_rules_code(friend, b"")) + 4 + len(head)
    return _rules_code(friend, bytes([0x60, target, 0x56, 0xFE]) + metadata)


def _rules_code(friend: bytes, otherwise: bytes) -> bytes:
    """Answer yes if the first argument is `friend`, else go on with `otherwise`."""
    yes = bytes.fromhex("600160005260206000f3")
    head = bytes.fromhex("60043573") + friend + bytes.fromhex("1415")
    target = len(head) + 3 + len(yes)
    return head + bytes([0x60, target, 0x57]) + yes + b"\x5b" + otherwise


async def loops(manifest: Manifest, sent: Sent) -> None:
    """Transfers wait in all pools, the rules begin to loop, clients offer more, and the administrator repairs it."""
    admin, ordinary = admin_of(manifest), ordinary_account_of(manifest)
    rules = await _create(admin, looping_rules(admin.address))
    while True:
        for account in spare_accounts_of(manifest)[:WAITING_TRANSFERS]:
            # With a whole block's gas: one of them is in each block, and the others wait.
            taken = await account.submit(gas=GAS_LIMIT)
            sent.count("transfers refused" if taken is None else "transfers waiting")
        if not await admin.changes(ACCOUNT_INGRESS, setting_rules(rules)):
            sent.fault("the rules did not become hostile: the attack did nothing")
        sent.count("hostile rules")
        with trio.move_on_after(HOSTILE_SECONDS):
            async with trio.open_nursery() as nursery:
                for node in manifest.nodes:
                    for _ in range(ASKERS):
                        nursery.start_soon(_offer, node, sent)
        for fault in await _restored(admin, ordinary):
            sent.fault(fault)


async def _offer(node: DevnetNode, sent: Sent) -> None:
    while True:
        found = await ask(node.rpc_port, "eth_sendRawTransaction", raw(SiegeSender().transfer()))
        sent.count("offers refused" if found is None else "offers taken")


async def changing_answers(manifest: Manifest, sent: Sent) -> None:
    """Rules that permit others than the administrator at odd timestamps alone. Ordinary accounts send all the time.

    A pool takes a transaction only while its head permits it. A proposer drops it if the block before does not. Both are as
    in Besu. So a client has to offer it again, and to all nodes: none sends a peer the same transaction twice.
    """
    admin = admin_of(manifest)
    rules = await _create(admin, parity_rules(admin.address))
    if not await admin.changes(ACCOUNT_INGRESS, setting_rules(rules)):
        sent.fault("the rules did not become hostile: the attack did nothing")

    async def keep_on(account: PermittedAccount) -> None:
        while True:
            if await account.transfers_by_all(manifest.nodes):
                sent.count("transfers in blocks")
            else:
                sent.fault(
                    f"a transfer that the rules permit each second block is in none within {MINED_SECONDS:.0f} s"
                )

    async with trio.open_nursery() as nursery:
        for account in spare_accounts_of(manifest):
            nursery.start_soon(keep_on, account)


async def _create(account: PermittedAccount, code: bytes) -> bytes:
    receipt = await account.send(None, deploying(code))
    assert receipt is not None, "a contract of the administrator is in no block"
    return from_hex(str(receipt["contractAddress"]))


async def _restored(admin: PermittedAccount, ordinary: PermittedAccount) -> list[str]:
    for contract, data in way_back(admin.address):
        await admin.submit(contract, data)
    if not await admin.changes(ACCOUNT_INGRESS, setting_rules(ACCOUNT_RULES)):
        return [f"the administrator cannot restore the rules within {MINED_SECONDS:.0f} s"]
    if not await ordinary.transfers():
        return [f"no transfer of an ordinary account is in a block {MINED_SECONDS:.0f} s after the rules were restored"]
    return []


def restore_rules(network: SiegeNetwork) -> list[str]:
    """Undo what an attack has left, and make lacnode's rules the rules again. A sentence if that fails, or if an ordinary
    account cannot send then."""
    manifest = network.manifest
    return trio.run(_restored, admin_of(manifest), ordinary_account_of(manifest))


PERMISSIONED = NetworkKind.PERMISSIONED

ATTACKS = (
    LoadAttack(
        "rules-lock-out",
        "an administrator's calls that leave nobody able to send",
        lock_outs,
        MEMBER,
        kind=PERMISSIONED,
        check=restore_rules,
    ),
    LoadAttack("rules-loop", "a rules contract that loops", loops, MEMBER, kind=PERMISSIONED, check=restore_rules),
    LoadAttack(
        "rules-timestamp",
        "a rules contract whose answer changes with each block, and hides it",
        changing_answers,
        MEMBER,
        kind=PERMISSIONED,
        check=restore_rules,
    ),
)
