"""`lacnode permissions`: the verbs."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lacnode.cli.errors import UsageError
from lacnode.cli.permissions.node_client import NodeClient
from lacnode.cli.permissions.printable_text import printable
from lacnode.cli.permissions.rule_contracts import AccountRules, AdminList, NodeRules
from lacnode.cli.permissions.transaction_sender import TransactionSender
from lacnode.crypto.node_key import KeyFileError, load_node_key
from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.permissioning.abi import UnsupportedNodeError
from lacnode.permissioning.topology import NodeType
from lacnode.primitives.hexadecimal import address_from_hex, to_hex
from lacnode.rpc.json_rpc_client import CallRefusedError, read_quantity

DEFAULT_RPC = "http://127.0.0.1:8545"


def main(words: Sequence[str]) -> int:
    """Run `lacnode permissions` with the arguments after `permissions`. Return the exit status: 0, or 1 if the verb
    `explain` finds that the connection or the transaction is not allowed. SystemExit for wrong options and for
    `--help`. UsageError for a wrong argument, if the node does not answer, and for a call or a change that the node or
    the contract refuses."""
    arguments = _parser().parse_args(words)
    client = NodeClient(arguments.rpc)
    try:
        return int(arguments.run(arguments, client))
    except CallRefusedError as refusal:
        raise UsageError(client.explain_refusal(refusal)) from None
    # The contract of interface 1 lists IP addresses alone.
    except UnsupportedNodeError as error:
        raise UsageError(f"{error}; give the enode with the IP address of the node") from None
    except RecursionError:
        raise UsageError(f"the node at {client.url} answers with too many levels of JSON") from None


def _common_options() -> argparse.ArgumentParser:
    """Return a parser with the options of the command and of every verb, so that they may be given before or after the
    verb.

    It has no defaults: the default of the verb would replace a value that was given before it. Each caller gets a
    parser of its own: `set_defaults` of the command would give the verbs its defaults through a shared one.
    """
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--rpc", metavar="URL", help=f"HTTP JSON-RPC of any node (default {DEFAULT_RPC})")
    common.add_argument("--json", action="store_true", help="print JSON for scripts")
    common.add_argument("--node-contract", metavar="ADDRESS", help="the node ingress (default: the one the node uses)")
    common.add_argument("--account-contract", metavar="ADDRESS", help="the account ingress (likewise)")
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lacnode permissions",
        parents=[_common_options()],
        description="Look at the rules of a permissioned network, change them, and have decisions explained.",
    )
    parser.set_defaults(rpc=DEFAULT_RPC, json=False, node_contract=None, account_contract=None)
    verbs = parser.add_subparsers(title="verbs", metavar="", required=True)
    _add_nodes(verbs.add_parser("nodes", help="the nodes that may connect"))
    _add_accounts(verbs.add_parser("accounts", help="the accounts that may send transactions"))
    _add_admins(verbs.add_parser("admins", help="the accounts that may change the rules"))
    explain = verbs.add_parser("explain", parents=[_common_options()], help="may this connect, or send, and why not")
    explain.add_argument("--node", metavar="ENODE", help="the node that wants to connect")
    explain.add_argument("--to", metavar="ENODE", help="the other node (default: the one that is asked)")
    explain.add_argument("--sender", metavar="ADDRESS", help="the account that wants to send")
    explain.add_argument("--target", metavar="ADDRESS", help="the recipient (default: it creates a contract)")
    explain.add_argument("--gas", type=int, metavar="N", help="the gas limit (default: the block's)")
    explain.add_argument("--data", metavar="HEX", help="the payload (default: none)")
    explain.set_defaults(run=_explain)
    refused = verbs.add_parser(
        "refused", parents=[_common_options()], help="connections that the node refused, and why"
    )
    refused.set_defaults(run=_refused)
    return parser


def _verbs(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    return parser.add_subparsers(title="verbs", metavar="", required=True)


def _changing(parser: argparse.ArgumentParser, metavar: str) -> None:
    parser.add_argument("subject", metavar=metavar)
    parser.add_argument(
        "--key-file", type=Path, required=True, metavar="FILE", help="the private key of an admin, in hex"
    )


def _add_nodes(parser: argparse.ArgumentParser) -> None:
    verbs = _verbs(parser)
    verbs.add_parser("list", parents=[_common_options()], help="every node of the list").set_defaults(run=_list_nodes)
    add = verbs.add_parser("add", parents=[_common_options()], help="put a node on the list")
    _changing(add, "ENODE")
    add.add_argument(
        "--role", choices=[type_.lower_name for type_ in NodeType], default="writer", help="its role (default writer)"
    )
    add.add_argument("--name", default="", help="what to call it")
    add.add_argument("--organization", default="", help="whose it is")
    add.set_defaults(run=_add_node)
    remove = verbs.add_parser("remove", parents=[_common_options()], help="take a node off the list")
    _changing(remove, "ENODE")
    remove.set_defaults(run=_remove_node)


def _add_accounts(parser: argparse.ArgumentParser) -> None:
    verbs = _verbs(parser)
    verbs.add_parser("list", parents=[_common_options()], help="every account of the list").set_defaults(
        run=_list_accounts
    )
    add = verbs.add_parser("add", parents=[_common_options()], help="put an account on the list")
    _changing(add, "ADDRESS")
    add.add_argument("--may-deploy", action="store_true", help="let it create contracts too")
    add.set_defaults(run=_add_account)
    remove = verbs.add_parser("remove", parents=[_common_options()], help="take an account off the list")
    _changing(remove, "ADDRESS")
    remove.set_defaults(run=_remove_account)


def _add_admins(parser: argparse.ArgumentParser) -> None:
    verbs = _verbs(parser)
    verbs.add_parser("list", parents=[_common_options()], help="every admin").set_defaults(run=_list_admins)
    for name, adds, text in (("add", True, "make an account an admin"), ("remove", False, "make it no admin")):
        verb = verbs.add_parser(name, parents=[_common_options()], help=text)
        _changing(verb, "ADDRESS")
        verb.set_defaults(run=_change_admin, adds=adds)


# -- nodes -----------------------------------------------------------------------------------------------------------


def _list_nodes(arguments: argparse.Namespace, client: NodeClient) -> int:
    nodes = list(_node_rules(arguments, client).listed_nodes())
    if arguments.json:
        print(json.dumps([{"enode": node.enode, "role": node.role, "name": node.name} for node in nodes]))
    else:
        for node in nodes:
            print(printable(str(node)))
    return 0


def _add_node(arguments: argparse.Namespace, client: NodeClient) -> int:
    rules, enode = _node_rules(arguments, client), _enode(arguments.subject)
    try:
        data = rules.encode_addition(enode, NodeType[arguments.role.upper()], arguments.name, arguments.organization)
    # Bytes of the command line that are no UTF-8.
    except UnicodeEncodeError:
        raise UsageError("--name and --organization must be UTF-8 text", 2) from None
    return _changed(arguments, client, rules.address, data, f"{arguments.role} {enode.short_text} is on the list")


def _remove_node(arguments: argparse.Namespace, client: NodeClient) -> int:
    rules, enode = _node_rules(arguments, client), _enode(arguments.subject)
    return _changed(
        arguments, client, rules.address, rules.encode_removal(enode), f"{enode.short_text} is off the list"
    )


def _node_rules(arguments: argparse.Namespace, client: NodeClient) -> NodeRules:
    return NodeRules(client, _contract(arguments.node_contract, client, "nodeContract", "--node-contract"))


# -- accounts and admins ---------------------------------------------------------------------------------------------


def _list_accounts(arguments: argparse.Namespace, client: NodeClient) -> int:
    listed = _account_rules(arguments, client).listed_accounts()
    if arguments.json:
        print(json.dumps([{"address": to_hex(account), "mayDeploy": may} for account, may in listed]))
    else:
        for account, may in listed:
            print(to_hex(account) + ("  may create contracts" if may else ""))
    return 0


def _add_account(arguments: argparse.Namespace, client: NodeClient) -> int:
    rules, account = _account_rules(arguments, client), _address(arguments.subject)
    status = 0
    # Adding it twice would revert. `--may-deploy` for an account of the list is the common case, and needs the
    # second call alone.
    if account not in [known for known, _ in rules.listed_accounts()]:
        status = _changed(
            arguments, client, rules.address, rules.encode_addition(account), f"{to_hex(account)} is on the list"
        )
    if arguments.may_deploy:
        # The right comes second: the contract gives it to accounts of the list only.
        data = rules.encode_deploy_right(account, True)
        status = _changed(arguments, client, rules.address, data, f"{to_hex(account)} may create contracts")
    return status


def _remove_account(arguments: argparse.Namespace, client: NodeClient) -> int:
    rules, account = _account_rules(arguments, client), _address(arguments.subject)
    return _changed(
        arguments, client, rules.address, rules.encode_removal(account), f"{to_hex(account)} is off the list"
    )


def _account_rules(arguments: argparse.Namespace, client: NodeClient) -> AccountRules:
    return AccountRules(client, _contract(arguments.account_contract, client, "accountContract", "--account-contract"))


def _list_admins(arguments: argparse.Namespace, client: NodeClient) -> int:
    listed = [to_hex(admin) for admin in _admins(arguments, client).listed_admins()]
    print(json.dumps(listed) if arguments.json else "\n".join(listed))
    return 0


def _change_admin(arguments: argparse.Namespace, client: NodeClient) -> int:
    admins, account = _admins(arguments, client), _address(arguments.subject)
    data = admins.encode_addition(account) if arguments.adds else admins.encode_removal(account)
    done = f"{to_hex(account)} is {'an' if arguments.adds else 'no'} admin"
    return _changed(arguments, client, admins.address, data, done)


def _admins(arguments: argparse.Namespace, client: NodeClient) -> AdminList:
    # The administrators are found by the node ingress. lacnode's networks register one admin contract in both
    # ingresses.
    return AdminList(client, _contract(arguments.node_contract, client, "nodeContract", "--node-contract"))


# -- decisions -------------------------------------------------------------------------------------------------------


def _explain(arguments: argparse.Namespace, client: NodeClient) -> int:
    # argparse has exclusive options, but no text that says which two they are here.
    if (arguments.node is None) == (arguments.sender is None):
        raise UsageError("explain needs either --node or --sender", 2)
    if arguments.node is not None:
        enodes = [_enode(text) for text in (arguments.node, arguments.to) if text is not None]
        decision = client.call("lac_explainConnection", *(str(enode) for enode in enodes))
    else:
        call = {"from": to_hex(_address(arguments.sender)), "data": arguments.data or "0x"}
        if arguments.target is not None:
            call["to"] = to_hex(_address(arguments.target))
        if arguments.gas is not None:
            call["gas"] = hex(arguments.gas)
        decision = client.call("lac_explainTransaction", call)
    # Only True is a permission: a script reads the decision from the exit status.
    if not isinstance(decision, Mapping) or not isinstance(decision.get("allowed"), bool):
        raise UsageError(f"the node at {client.url} answers {type(decision).__name__} and no decision")
    if arguments.json:
        print(json.dumps(decision))
    else:
        print(f"{'yes' if decision['allowed'] else 'no'}: {_told(decision)}")
    return 0 if decision["allowed"] else 1


def _refused(arguments: argparse.Namespace, client: NodeClient) -> int:
    refused = client.call("lac_refusedConnections")
    if not isinstance(refused, list) or not all(isinstance(refusal, Mapping) for refusal in refused):
        raise UsageError(f"the node at {client.url} answers no list of refusals")
    if arguments.json:
        print(json.dumps(refused))
        return 0
    for refusal in refused:
        times = f"{refusal.get('times')} times"
        print(printable(f"{refusal.get('direction')} {refusal.get('enode')}: {_told(refusal)}; {times}"))
    return 0


def _told(decision: Mapping[str, object]) -> str:
    number = read_quantity(decision.get("blockNumber"))
    place = "" if number is None else f" at block {number}"
    return printable(f"{decision.get('reason')} (rule {decision.get('rule')} of {decision.get('source')}{place})")


# -- shared ----------------------------------------------------------------------------------------------------------


def _contract(given: str | None, client: NodeClient, name: str, option: str) -> bytes:
    """Return the 20-byte address of the ingress: the given one, or the one that the node itself obeys. UsageError if
    there is none."""
    if given is not None:
        return _address(given)
    try:
        status = client.call("lac_permissioningStatus")
    except CallRefusedError:
        raise UsageError(f"the node at {client.url} does not say which contract it uses; give {option}") from None
    found = status.get(name) if isinstance(status, Mapping) else None
    if found is None:
        raise UsageError(f"the node at {client.url} runs without that contract; give {option} to name one")
    try:
        return address_from_hex(found if isinstance(found, str) else repr(found))
    except ValueError:
        raise UsageError(f"the node at {client.url} names no address as {name}; give {option}") from None


def _changed(arguments: argparse.Namespace, client: NodeClient, contract: bytes, data: bytes, done: str) -> int:
    try:
        key = load_node_key(arguments.key_file)
    except KeyFileError as error:
        raise UsageError(str(error)) from None
    # The command waits for the block: only then is the change true for the whole network.
    number = TransactionSender(client, key).send_and_wait_for_block(contract, data)
    print(json.dumps({"blockNumber": hex(number)}) if arguments.json else f"{done} since block {number:,}")
    return 0


def _enode(text: str) -> Enode:
    try:
        return Enode.parse(text, allow_names=True)
    except EnodeError as error:
        raise UsageError(str(error)) from None


def _address(text: str) -> bytes:
    try:
        return address_from_hex(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
