"""The local lists: Besu's operations in Besu's order of checks, what a failure leaves, and decisions that say why."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning import host_names, local_allowlists
from lacnode.permissioning.host_names import HostNames
from lacnode.permissioning.local_allowlists import (
    AccountAllowlist,
    AllowlistChangeError,
    AllowlistProblem,
    LocalPermissions,
    NodeAllowlist,
    open_local_permissions,
)
from lacnode.permissioning.permissions_file import PermissionsFileError
from lacnode.permissioning.settings import PermissioningSettings

A, B, C = ("0x" + digits * 20 for digits in ("aa", "bb", "cc"))
OWN = NodeKey.from_private_key(b"\x01" * 32).public_key
N1, N2, N3 = (
    Enode(NodeKey.from_private_key(bytes([index]) * 32).public_key, f"10.0.0.{index}", 30303, 30303)
    for index in (11, 12, 13)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "permissions_config.toml"


def written(path: Path, *accounts: str) -> AccountAllowlist:
    path.write_text(f"accounts-allowlist={list(accounts)}")
    return AccountAllowlist(path)


def nodes(path: Path, *entries: object, fixed: tuple[Enode, ...] = (), names: HostNames | None = None) -> NodeAllowlist:
    path.write_text(f"nodes-allowlist={[str(entry) for entry in entries]}")
    return NodeAllowlist(path, OWN, fixed, names=names)


class NameServer(dict[str, str]):
    """Names and their addresses, as long as the test lets them have some."""

    def names(self, update: bool = False) -> HostNames:
        return HostNames(self.__getitem__, update)


def at(host: str, node: Enode) -> Enode:
    return replace(node, host=host)


def problem(change: Callable[[list[str]], None], *entries: object) -> AllowlistProblem:
    with pytest.raises(AllowlistChangeError) as error:
        change([str(entry) for entry in entries])
    return error.value.problem


class TestAccounts:
    def test_the_file_follows_in_order(self, path: Path) -> None:
        accounts = written(path, A)
        accounts.add([B, C])
        assert path.read_text() == f'accounts-allowlist=["{A}","{B}","{C}"]'
        accounts.remove([A, B])
        assert path.read_text() == f'accounts-allowlist=["{C}"]'
        assert accounts.entries == (C,)

    def test_are_lower_case_from_the_start(self, path: Path) -> None:
        accounts = written(path, "0x" + "AA" * 20)
        assert (accounts.entries, path.read_text()) == ((A,), f'accounts-allowlist=["{A}"]')
        accounts.add(["0x" + "BB" * 20])
        assert accounts.entries == (A, B)

    def test_are_checked_in_besus_order(self, path: Path) -> None:
        accounts = written(path, A)
        assert problem(accounts.add) is AllowlistProblem.EMPTY
        assert problem(accounts.add, "nobody", B, B) is AllowlistProblem.INVALID
        assert problem(accounts.add, A, B, B.upper().replace("0X", "0x")) is AllowlistProblem.DUPLICATED
        assert problem(accounts.add, B, A) is AllowlistProblem.EXISTING
        assert problem(accounts.remove, A, B) is AllowlistProblem.ABSENT
        for wrong in ("aa" * 20, "0x" + "aa" * 19, "0x" + "aa" * 21, "0x" + "zz" * 20, A + "\n", "0x" + "\u0661" * 40):
            assert problem(accounts.remove, wrong) is AllowlistProblem.INVALID, wrong
        assert accounts.entries == (A,)

    @pytest.mark.parametrize("entry", ["aa" * 20, "0x1", "0X" + "aa" * 20, ""])
    def test_a_bad_account_in_the_file_is_named(self, path: Path, entry: str) -> None:
        with pytest.raises(PermissionsFileError, match=f"^Invalid account {entry}$"):
            written(path, entry)

    def test_an_account_twice_is_no_list(self, path: Path) -> None:
        with pytest.raises(PermissionsFileError, match=f"^Invalid account {A}: it is twice in"):
            written(path, A, B, "0x" + "AA" * 20)

    def test_decide_and_say_why(self, path: Path) -> None:
        accounts = written(path, A)
        yes, no, nobody = accounts.decide(b"\xaa" * 20), accounts.decide(b"\xbb" * 20), accounts.decide(None)
        assert (yes.allowed, yes.rule, yes.source, yes.block) == (True, "local-accounts", str(path), None)
        assert (no.allowed, no.reason) == (False, f"account {B} is not in accounts-allowlist")
        assert (nobody.allowed, nobody.reason) == (False, "the transaction has no sender")

    def test_an_empty_list_allows_nobody(self, path: Path) -> None:
        assert not written(path).decide(b"\xaa" * 20).allowed

    def test_a_file_edited_by_hand_is_out_of_sync(self, path: Path) -> None:
        accounts = written(path, A)
        path.write_text(f'accounts-allowlist=["{C}"]')
        assert problem(accounts.add, B) is AllowlistProblem.FILE_SYNC
        assert accounts.entries == (A, B)
        assert path.read_text() == f'accounts-allowlist=["{C}"]'

    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\xff")], ids=["gone", "not UTF-8"])
    def test_what_cannot_be_stored_is_not_done(self, path: Path, damage: Callable[[Path], object]) -> None:
        accounts = written(path, A)
        damage(path)
        assert problem(accounts.add, B) is AllowlistProblem.PERSIST_FAILURE
        assert problem(accounts.remove, A) is AllowlistProblem.PERSIST_FAILURE
        assert accounts.entries == (A,)

    def test_a_half_written_file_is_out_of_sync_and_left_alone(self, path: Path) -> None:
        accounts = written(path)
        path.write_text('accounts-allowlist=["0x')
        assert problem(accounts.add, A) is AllowlistProblem.FILE_SYNC
        assert path.read_text() == 'accounts-allowlist=["0x'

    def test_a_read_only_file_is_a_list_that_cannot_change(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.permissioning.permissions_file.os.access", lambda path, mode: False)
        accounts = written(path, A)
        assert accounts.decide(b"\xaa" * 20).allowed
        assert problem(accounts.add, B) is AllowlistProblem.PERSIST_FAILURE


class TestNodes:
    def test_the_file_follows_in_order(self, path: Path) -> None:
        allowed = nodes(path, N1)
        allowed.add([str(N2), str(N3)])
        assert path.read_text() == f'nodes-allowlist=["{N1}","{N2}","{N3}"]'
        allowed.remove([str(N2), str(N1)])
        assert path.read_text() == f'nodes-allowlist=["{N3}"]'

    def test_are_checked_in_besus_order(self, path: Path) -> None:
        allowed = nodes(path, N1, fixed=(N1,))
        assert problem(allowed.add) is AllowlistProblem.EMPTY
        assert problem(allowed.add, "nonsense", "nonsense") is AllowlistProblem.DUPLICATED
        assert problem(allowed.add, N1, "nonsense") is AllowlistProblem.INVALID
        assert problem(allowed.add, N2, N1) is AllowlistProblem.EXISTING
        assert problem(allowed.remove, N2, N1) is AllowlistProblem.FIXED_NODE
        assert problem(allowed.remove, N2) is AllowlistProblem.ABSENT
        assert allowed.entries == (N1,)

    def test_names_need_to_be_switched_on(self, path: Path) -> None:
        named = f"enode://{N2.id.hex()}@node.example:30303"
        assert problem(nodes(path, N1).add, named) is AllowlistProblem.INVALID
        allowed = nodes(path, N1, names=NameServer({"node.example": "10.0.0.12"}).names())
        allowed.add([named])
        assert path.read_text() == f'nodes-allowlist=["{N1}","{named}"]'
        with pytest.raises(PermissionsFileError, match=r"^Invalid enode URL syntax"):
            NodeAllowlist(path, OWN)

    def test_fixed_nodes_must_be_listed_at_the_start(self, path: Path) -> None:
        other_discovery = Enode(N2.id, N2.host, N2.tcp, 40404)
        nodes(path, N1, N2, fixed=(other_discovery,))
        with pytest.raises(PermissionsFileError) as error:
            nodes(path, N1, fixed=(N1, other_discovery, N3))
        assert str(error.value) == f"Specified node(s) not in nodes-allowlist [{N2}, {N3}]"

    def test_decide_and_say_why(self, path: Path) -> None:
        allowed = nodes(path, N1, fixed=())
        yes = allowed.decide(Enode(N1.id, N1.host, N1.tcp, None))
        assert (yes.allowed, yes.rule, yes.source, yes.block) == (True, "local-nodes", str(path), None)
        stranger = allowed.decide(N2)
        assert (stranger.allowed, "is not in nodes-allowlist" in stranger.reason) == (False, True)
        moved = allowed.decide(Enode(N1.id, "2001:db8::1", 0, None))
        assert not moved.allowed
        assert moved.reason.endswith("is in nodes-allowlist at 10.0.0.11:30303, not at [2001:db8::1]:0")
        assert allowed.decide(Enode(OWN, "192.0.2.1", 1, None)).allowed

    def test_an_empty_list_allows_this_node_alone(self, path: Path) -> None:
        allowed = nodes(path)
        assert not allowed.decide(N1).allowed
        assert allowed.decide(Enode(OWN, "10.0.0.1", 30303, 30303)).allowed

    def test_a_node_listed_twice_is_gone_when_removed(self, path: Path) -> None:
        allowed = nodes(path, N1, N1)
        allowed.remove([str(N1)])
        assert not allowed.decide(N1).allowed

    def test_listeners_hear_of_every_change_and_see_it(self, path: Path) -> None:
        allowed = nodes(path, N1)
        seen: list[tuple[Enode, ...]] = []
        allowed.on_change(lambda: seen.append(allowed.entries))
        allowed.add([str(N2)])
        allowed.remove([str(N1)])
        problem(allowed.remove, N1)
        path.write_text(f'nodes-allowlist=["{N3}"]')
        local = LocalPermissions(nodes=allowed)
        local.reload()
        local.reload()
        path.write_text("nodes-allowlist=[]")
        assert problem(allowed.add, N1) is AllowlistProblem.FILE_SYNC
        assert seen == [(N1, N2), (N2,), (N3,), (N3, N1)]

    def test_changes_from_many_threads_are_all_stored(self, path: Path) -> None:
        path.write_text("nodes-allowlist=[]\naccounts-allowlist=[]")
        local = open_local_permissions(PermissioningSettings(path, path), OWN, ())
        assert local.accounts is not None
        assert local.nodes is not None
        accounts, allowed = local.accounts, local.nodes
        urls = [str(Enode(N1.id, "10.0.0.1", port, port)) for port in range(1, 13)]
        threads = [threading.Thread(target=allowed.add, args=([url],)) for url in urls]
        threads += [threading.Thread(target=accounts.add, args=(["0x" + f"{i:040x}"],)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert {str(node) for node in NodeAllowlist(path, OWN).entries} == set(urls)
        assert len(AccountAllowlist(path).entries) == 12


class TestNames:
    """Nodes are compared by the addresses that their names have, as in Besu."""

    @pytest.mark.parametrize("update", [False, True])
    def test_a_node_listed_by_name_is_permitted_at_its_address(self, path: Path, update: bool) -> None:
        server = NameServer({"node.example": N1.host, "boot.example": N2.host})
        named, boot = at("node.example", N1), at("boot.example", N2)
        allowed = nodes(path, named, boot, fixed=(boot if update else N2,), names=server.names(update))
        assert allowed.decide(N1).allowed
        assert allowed.decide(N2).allowed
        assert allowed.decide(boot).allowed
        refused = allowed.decide(at("10.9.9.9", N1))
        assert not refused.allowed
        assert refused.reason.endswith(
            f"is in nodes-allowlist at node.example:30303 ({N1.host}), not at 10.9.9.9:30303"
        )
        assert [node.host for node in allowed.entries] == (
            ["node.example", "boot.example"] if update else [N1.host, N2.host]
        )

    def test_one_node_is_one_node_by_whatever_name(self, path: Path) -> None:
        server = NameServer({"one.example": N1.host, "other.example": N1.host})
        allowed = nodes(path, at("one.example", N1), fixed=(), names=server.names(update=True))
        assert problem(allowed.add, N1) is AllowlistProblem.EXISTING
        assert problem(allowed.add, at("other.example", N1)) is AllowlistProblem.EXISTING
        allowed.add([str(N2)])
        allowed.remove([str(N1)])
        assert allowed.entries == (N2,)
        fixed = nodes(path, at("one.example", N1), fixed=(N1,), names=server.names(update=True))
        assert problem(fixed.remove, at("other.example", N1)) is AllowlistProblem.FIXED_NODE

    def test_the_file_keeps_names_as_they_were_written(self, path: Path) -> None:
        named = at("node.example", N1)
        allowed = nodes(path, named, names=NameServer({"node.example": N1.host}).names())
        allowed.add([str(N2)])
        assert path.read_text() == f'nodes-allowlist=["{named}","{N2}"]'

    def test_a_name_without_an_address_is_a_mistake_unless_it_may_get_one(self, path: Path) -> None:
        named, server = at("node.example", N1), NameServer()
        with pytest.raises(PermissionsFileError) as error:
            nodes(path, named, names=server.names())
        assert str(error.value).startswith("Invalid IP address 'node.example' (or DNS query resolved an invalid IP).")
        assert problem(nodes(path, names=server.names()).add, named) is AllowlistProblem.INVALID
        allowed = nodes(path, named, N2, names=server.names(update=True))
        assert not allowed.decide(N1).allowed
        assert "node.example:30303 (which has no address)" in allowed.decide(N1).reason
        assert allowed.decide(N2).allowed
        server["node.example"] = N1.host
        allowed.refresh_addresses()
        assert allowed.decide(N1).allowed

    def test_a_name_is_followed_to_its_new_address_and_whoever_listens_hears_of_it(self, path: Path) -> None:
        server, heard = NameServer({"node.example": N1.host}), []
        allowed = nodes(path, at("node.example", N1), names=server.names(update=True))
        allowed.on_change(lambda: heard.append(allowed.decide(N1).allowed))
        allowed.refresh_addresses()
        assert heard == [], "nothing has changed"
        server["node.example"] = "10.9.9.9"
        allowed.refresh_addresses()
        assert heard == [False]
        assert allowed.decide(at("10.9.9.9", N1)).allowed
        server.clear()
        allowed.refresh_addresses()
        assert allowed.decide(at("10.9.9.9", N1)).allowed, "it keeps the last one"

    def test_a_name_server_that_does_not_answer_holds_nobody_up(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_names, "LOOK_UP_SECONDS", 0.2)
        silent = threading.Event()

        def look_up(name: str) -> str:
            if name == "slow.example":
                silent.wait(20)
            return N2.host

        listed = [at("slow.example", N1), at("quick.example", N2)]
        allowed = nodes(path, *listed, names=HostNames(look_up, looks_up_again=True))
        silent.set()
        assert allowed.decide(N2).allowed
        assert not allowed.decide(N1).allowed

    def test_a_reload_looks_up_what_is_new(self, path: Path) -> None:
        server = NameServer({"node.example": N1.host})
        allowed = nodes(path, N2, names=server.names())
        path.write_text(f'nodes-allowlist=["{at("node.example", N1)}"]')
        LocalPermissions(nodes=allowed).reload()
        assert allowed.decide(N1).allowed
        path.write_text(f'nodes-allowlist=["{at("nowhere.example", N1)}"]')
        with pytest.raises(PermissionsFileError):
            LocalPermissions(nodes=allowed).reload()
        assert allowed.decide(N1).allowed


class TestReload:
    def test_takes_over_both_lists(self, path: Path) -> None:
        path.write_text(f'nodes-allowlist=["{N1}"]\naccounts-allowlist=["{A}"]')
        local = open_local_permissions(PermissioningSettings(path, path), OWN, (N1,))
        assert local.accounts is not None
        assert local.nodes is not None
        path.write_text(f'nodes-allowlist=["{N2}"]\naccounts-allowlist=["{B}"]')
        local.reload()
        assert (local.accounts.entries, local.nodes.entries) == ((B,), (N2,))

    @pytest.mark.parametrize(
        "text",
        [
            'nodes-allowlist=["nonsense"]\naccounts-allowlist=[]',
            'nodes-allowlist=[]\naccounts-allowlist=["0x1"]',
            "nodes-allowlist=[]",
            "accounts-allowlist=[]",
            "nodes-allowlist=[",
            "",
        ],
    )
    def test_of_a_broken_file_changes_nothing(self, path: Path, text: str) -> None:
        path.write_text(f'nodes-allowlist=["{N1}"]\naccounts-allowlist=["{A}"]')
        local = open_local_permissions(PermissioningSettings(path, path), OWN, (N1,))
        assert local.accounts is not None
        assert local.nodes is not None
        path.write_text(text)
        with pytest.raises(PermissionsFileError):
            local.reload()
        assert (local.accounts.entries, local.nodes.entries) == ((A,), (N1,))


def test_nothing_is_opened_that_is_off() -> None:
    assert open_local_permissions(PermissioningSettings(), OWN, ()) == local_allowlists.LocalPermissions()
