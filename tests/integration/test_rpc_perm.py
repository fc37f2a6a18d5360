"""The PERM methods of a running node, the files behind them, and what a bad file does to a start."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from lacnode.cli.main import main
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.node.configuration import NodeConfig, P2pSettings
from lacnode.node.node import Node
from lacnode.node.run_node import NodeStartError, open_node
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.local_allowlists import open_local_permissions
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.settings import HttpSettings
from tests.support.rpc_chain import signed
from tests.support.rpc_node import PATIENCE, request

KEY = NodeKey.from_private_key(b"\x31" * 32)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators" / "local-permissioning.md"
A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
BOOT, N1, N2 = (
    f"enode://{NodeKey.from_private_key(bytes([index]) * 32).public_key.hex()}@127.0.0.{index}:30303"
    for index in (2, 3, 4)
)
NAMES = ("Allowlist", "Whitelist")
RELOAD_ERROR = (
    "Error reloading permissions file. Please use perm_getAccountsAllowlist and perm_getNodesAllowlist "
    "to review the current state of the allowlists"
)
OUT_OF_SYNC = (
    "The permissioning allowlist configuration file is out of sync.  "
    "The changes have been applied, but not persisted to disk"
)


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    """A node with both lists in one file."""
    genesis, lists = tmp_path / "genesis.json", tmp_path / "permissions_config.toml"
    genesis.write_text(json.dumps(devnet_genesis([KEY.address], (), 1.0, 0)))
    lists.write_text(f'nodes-allowlist=["{BOOT}","{N1}"]\naccounts-allowlist=["{A}"]')
    return NodeConfig(
        data_path=tmp_path / "data",
        genesis_file=genesis,
        http=HttpSettings(port=0, groups=("PERM", "ETH")),
        p2p=P2pSettings(port=0, interface="127.0.0.1", discovery=False, bootnodes=(Enode.parse(BOOT),)),
        permissioning=PermissioningSettings(accounts_file=lists, nodes_file=lists),
    )


@dataclass
class Running:
    node: Node
    client: httpx.AsyncClient

    async def reply(self, method: str, *params: object) -> Any:
        url = f"http://127.0.0.1:{self.node.rpc.http_port}"
        return (await self.client.post(url, json=request(method, *params))).json()

    async def call(self, method: str, *params: object) -> Any:
        return (await self.reply(method, *params))["result"]

    async def fails(self, method: str, *params: object) -> tuple[int, str]:
        error = (await self.reply(method, *params))["error"]
        return error["code"], error["message"]


@asynccontextmanager
async def running(config: NodeConfig) -> AsyncIterator[Running]:
    node = open_node(config)
    try:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
                await nursery.start(node.run)
                yield Running(node, client)
                nursery.cancel_scope.cancel()
    finally:
        node.close()


def lists_of(config: NodeConfig) -> Path:
    path = config.permissioning.nodes_file
    assert path is not None
    return path


class TestMethods:
    @pytest.mark.parametrize("name", NAMES)
    async def test_change_lists_and_file_under_both_names(self, config: NodeConfig, name: str) -> None:
        async with running(config) as node:
            assert await node.call(f"perm_addAccountsTo{name}", [B.upper().replace("0X", "0x")]) == "Success"
            assert await node.call(f"perm_getAccounts{name}") == [A, B]
            assert await node.call(f"perm_removeAccountsFrom{name}", [A]) == "Success"
            assert await node.call(f"perm_addNodesTo{name}", [N2 + "?discport=0"]) == "Success"
            assert await node.call(f"perm_removeNodesFrom{name}", [N1]) == "Success"
            assert await node.call(f"perm_getNodes{name}") == [BOOT, N2 + "?discport=0"]
        expected = f'accounts-allowlist=["{B}"]\nnodes-allowlist=["{BOOT}","{N2}?discport=0"]'
        assert lists_of(config).read_text() == expected

    async def test_refuse_in_besus_words(self, config: NodeConfig) -> None:
        cases: list[tuple[str, list[str], str]] = [
            ("addAccountsTo", [], "Request contains an empty list of accounts"),
            ("addAccountsTo", ["0x1", "0x1"], "Request contains an invalid account"),
            ("addAccountsTo", [B, B], "Request contains duplicate accounts"),
            ("addAccountsTo", [A], "Cannot add an existing account to allowlist"),
            ("removeAccountsFrom", [B], "Cannot remove an absent account from allowlist"),
            ("addNodesTo", [], "Request contains an empty list of nodes"),
            ("addNodesTo", ["x", "x"], "Request contains duplicate nodes"),
            ("addNodesTo", [N1.replace("127.0.0.3", "node.example")], "Request contains an invalid node"),
            ("addNodesTo", [N1], "Cannot add an existing node to allowlist"),
            ("removeNodesFrom", [N2], "Cannot remove an absent node from allowlist"),
            ("removeNodesFrom", [BOOT], "Cannot remove a fixed node (bootnode or static node) from allowlist"),
        ]
        before = lists_of(config).read_text()
        async with running(config) as node:
            for method, entries, message in cases:
                for name in NAMES:
                    assert await node.fails(f"perm_{method}{name}", entries) == (-32000, message)
            wrong: list[list[object]] = [[], [None], ["text"], [[1]], [[None]], [{}]]
            for params in wrong:
                for method in ("addAccountsTo", "removeAccountsFrom", "addNodesTo", "removeNodesFrom"):
                    assert await node.fails(f"perm_{method}Allowlist", *params) == (-32602, "Invalid params"), params
            assert await node.call("perm_getNodesAllowlist") == [BOOT, N1]
        assert sorted(lists_of(config).read_text().splitlines()) == sorted(before.splitlines())

    async def test_reload_or_say_why_not(self, config: NodeConfig) -> None:
        lists, changes = lists_of(config), []
        async with running(config) as node:
            nodes = node.node.local_permissions.nodes
            assert nodes is not None
            nodes.on_change(lambda: changes.append(1))
            lists.write_text(f'nodes-allowlist=["{N2}"]\naccounts-allowlist=["{B}"]')
            assert await node.call("perm_reloadPermissionsFromFile") == "Success"
            assert await node.call("perm_getNodesAllowlist") == [N2]
            assert await node.call("perm_getAccountsAllowlist") == [B]
            lists.write_text('nodes-allowlist=["')
            error = (await node.reply("perm_reloadPermissionsFromFile"))["error"]
            assert (error["code"], error["message"]) == (-32000, RELOAD_ERROR)
            assert str(lists) in error["data"]
            assert await node.call("perm_getNodesAllowlist") == [N2]
        assert changes == [1]

    async def test_say_when_the_file_is_another_or_gone(self, config: NodeConfig) -> None:
        lists = lists_of(config)
        async with running(config) as node:
            lists.write_text("nodes-allowlist=[]\naccounts-allowlist=[]")
            assert await node.fails("perm_addNodesToAllowlist", [N2]) == (-32000, OUT_OF_SYNC)
            assert await node.call("perm_getNodesAllowlist") == [BOOT, N1, N2]
            lists.unlink()
            lists.mkdir()
            reverted = "Unable to persist changes to allowlist configuration file. Changes reverted"
            assert await node.fails("perm_addAccountsToAllowlist", [B]) == (-32000, reverted)
            assert await node.call("perm_getAccountsAllowlist") == [A]

    async def test_say_what_is_not_enabled(self, config: NodeConfig) -> None:
        async with running(replace(config, permissioning=PermissioningSettings())) as node:
            nodes, accounts = (f"{what} allowlist has not been enabled" for what in ("Node", "Account"))
            for name in NAMES:
                for method, message in (("Nodes", nodes), ("Accounts", accounts)):
                    assert await node.fails(f"perm_get{method}{name}") == (-32000, message)
                    assert await node.fails(f"perm_add{method}To{name}", []) == (-32000, message)
                    assert await node.fails(f"perm_remove{method}From{name}", []) == (-32000, message)
            neither = "Node/Account allowlist has not been enabled"
            assert await node.fails("perm_reloadPermissionsFromFile") == (-32000, neither)

    async def test_of_nodes_need_p2p(self, config: NodeConfig) -> None:
        off = replace(config, p2p=replace(config.p2p, enabled=False))
        async with running(off) as node:
            message = "P2P has been disabled. This functionality is not available"
            assert await node.fails("perm_getNodesAllowlist") == (-32000, message)
            assert await node.call("perm_getAccountsAllowlist") == [A]


class TestPage:
    """docs/operators/local-permissioning.md."""

    async def test_every_request_works_as_it_is_written(self, config: NodeConfig) -> None:
        page = PAGE.read_text("utf-8")
        bodies = re.findall(r"^curl -s --data '(.*)' \$NODE$", page, re.M)
        assert len(bodies) == 7
        async with running(config) as node:
            url = f"http://127.0.0.1:{node.node.rpc.http_port}"
            for body in bodies:
                text = body.replace("$ENODE", N2).replace("$ACCOUNT", B)
                answer = (await node.client.post(url, content=text)).json()
                assert answer.get("result"), (text, answer)
            assert await node.call("perm_getNodesAllowlist") == [BOOT, N1]

    def test_the_file_it_shows_is_one(self, tmp_path: Path) -> None:
        shown = next(
            block for block in re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S) if "enode" in block
        )
        file = tmp_path / "permissions_config.toml"
        file.write_text(shown)
        settings = PermissioningSettings(accounts_file=file, nodes_file=file)
        lists = open_local_permissions(settings, KEY.public_key, ())
        assert lists.nodes is not None
        assert lists.accounts is not None
        assert (len(lists.nodes.entries), len(lists.accounts.entries)) == (1, 1)


class TestSending:
    async def test_follows_the_account_list_as_it_changes(self, config: NodeConfig) -> None:
        document = json.loads(config.genesis_file.read_text())
        sender = NodeKey.from_private_key(b"\x33" * 32)
        sent = [to_hex(signed(sender, nonce, chain_id=document["config"]["chainId"]).raw) for nonce in range(3)]
        pool = replace(config.pool, min_gas_price=0, block_min_gas_price=0, price_bump=0, sender_share=1.0)
        refused = (-32007, "Sender account not authorized to send transactions")
        async with running(replace(config, pool=pool)) as node:
            assert await node.fails("eth_sendRawTransaction", sent[0]) == refused
            await node.call("perm_addAccountsToAllowlist", [to_hex(sender.address)])
            assert len(await node.call("eth_sendRawTransaction", sent[0])) == 66
            await node.call("perm_removeAccountsFromAllowlist", [to_hex(sender.address)])
            error = (await node.reply("eth_sendRawTransaction", sent[1]))["error"]
            assert (error["code"], error["message"]) == refused
            assert f"account {to_hex(sender.address)} is not in accounts-allowlist" in error["data"]["reason"]


class TestStart:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "Unable to read permissioning TOML config file : {path} Configuration file does not exist: {path}"),
            ('nodes-allowlist=["', "Unable to read permissioning TOML config file : {path} Invalid TOML configuration"),
            ("accounts-allowlist=[]", "nodes-allowlist config option missing in TOML config file {path}"),
            ("nodes-allowlist=[]", "Specified node(s) not in nodes-allowlist [" + BOOT + "]"),
            (f'nodes-allowlist=["{BOOT}"]', "accounts-allowlist config option missing in TOML config file {path}"),
            (f'nodes-allowlist=["{BOOT}"]\naccounts-allowlist=["0x1"]', "Invalid account 0x1"),
            ('nodes-allowlist=["enode://1@2:3"]\naccounts-allowlist=[]', "Invalid enode URL syntax"),
        ],
    )
    def test_a_bad_file_stops_it(self, config: NodeConfig, text: str | None, message: str) -> None:
        path = lists_of(config)
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(NodeStartError) as error:
            open_node(config)
        assert str(error.value).startswith(message.format(path=path))

    def test_a_command_ends_with_one_message_and_status_1(
        self, config: NodeConfig, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lists_of(config).unlink()
        arguments = [
            f"--data-path={config.data_path}",
            f"--genesis-file={config.genesis_file}",
            "--permissions-nodes-config-file-enabled",
        ]
        assert main(arguments) == 1
        path = config.data_path / "permissions_config.toml"
        expected = f"Unable to read permissioning TOML config file : {path} Configuration file does not exist: {path}\n"
        assert capsys.readouterr().err == expected
