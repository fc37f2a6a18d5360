"""The local allowlists: the nodes and the accounts that the file of this node allows, and changes of them at run time.

The operations, the order of their checks and the result of a failure are Besu's (`NodeLocalConfigPermissioningController`,
`AccountLocalConfigPermissioningController`). The lists are the policy of one node. They must not decide whether a block is
valid. Any thread may change a list. A decision reads one immutable value and never waits.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import RLock

import structlog

from lacnode.p2p.wire.enode import Enode, EnodeError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.host_names import HostNames
from lacnode.permissioning.permissions_file import (
    AllowlistKind,
    PermissionsFileError,
    read_entries,
    read_entries_without_legacy_key,
    write_entries,
)
from lacnode.permissioning.settings import PermissioningSettings

log = structlog.get_logger("permissioning")

Lock = AbstractContextManager[object]

_ACCOUNT = re.compile(r"0x[0-9a-f]{40}", re.ASCII)


class AllowlistProblem(Enum):
    """Why a change of a list failed. The value is a sentence. Only after FILE_SYNC the change is in force, but it is
    not in the file. After any other problem the list is unchanged."""

    EMPTY = "the request names no entry"
    INVALID = "an entry is malformed"
    DUPLICATED = "an entry is there twice"
    EXISTING = "an entry is in the list already"
    ABSENT = "an entry is not in the list"
    FIXED_NODE = "a bootnode or static node must stay in the list"
    PERSIST_FAILURE = "the file cannot be written and nothing has changed"
    FILE_SYNC = "the file lacks entries of the list: the change is in force, but it is not stored"


class AllowlistChangeError(Exception):
    """A change of a list failed. `problem` says why. After FILE_SYNC the change is in force. After any other problem
    the list is unchanged."""

    def __init__(self, problem: AllowlistProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


class AccountAllowlist:
    """The accounts that may send, in the file `path`. Addresses are 0x-hexadecimal text in lower case, in the order of
    the file. Any thread may use the list.

    A change takes `lock`, or a lock of this list if `lock` is None, and writes the list to the file.
    """

    def __init__(self, path: Path, lock: Lock | None = None) -> None:
        """Read the list and write it back in lower case, as Besu does. If it cannot be written back, a warning is
        logged. PermissionsFileError if the file has no valid list."""
        self.path = path
        self._lock: Lock = lock or RLock()
        self._entries: dict[str, None] = {}
        self.replace_and_write(_read_accounts(path))

    @property
    def entries(self) -> tuple[str, ...]:
        """The accounts that the list has now, as 0x-hexadecimal texts in lower case, in the order of the list."""
        return tuple(self._entries)

    def decide(self, sender: bytes | None) -> Decision:
        """Decide whether `sender` may send. `sender` has 20 bytes, or is None for a transaction without a sender, which
        is refused. An empty list refuses every account."""
        if sender is None:
            return self._decision(False, "the transaction has no sender")
        account = "0x" + sender.hex()
        allowed = account in self._entries
        return self._decision(
            allowed, f"account {account} is {'' if allowed else 'not '}in {AllowlistKind.ACCOUNTS.value}"
        )

    def add(self, accounts: Sequence[str]) -> None:
        """Append all `accounts` (0x-hexadecimal text in any case) to the list, or none of them. Write the list to the
        file.

        AllowlistChangeError with EMPTY, INVALID, DUPLICATED, EXISTING or PERSIST_FAILURE: the list is unchanged.
        AllowlistChangeError with FILE_SYNC: the list has changed, but the file has not.
        """
        added = _checked_accounts(accounts)
        with self._lock:
            if any(account in self._entries for account in added):
                raise AllowlistChangeError(AllowlistProblem.EXISTING)
            self._change(dict.fromkeys((*self._entries, *added)))

    def remove(self, accounts: Sequence[str]) -> None:
        """Remove all `accounts` (0x-hexadecimal text in any case) from the list, or none of them. Write the list to the
        file.

        AllowlistChangeError with EMPTY, INVALID, DUPLICATED, ABSENT or PERSIST_FAILURE: the list is unchanged.
        AllowlistChangeError with FILE_SYNC: the list has changed, but the file has not.
        """
        removed = set(_checked_accounts(accounts))
        with self._lock:
            if not removed <= self._entries.keys():
                raise AllowlistChangeError(AllowlistProblem.ABSENT)
            self._change({account: None for account in self._entries if account not in removed})

    def replace_and_write(self, accounts: Sequence[str]) -> None:
        """Use `accounts` (0x-hexadecimal text in lower case) as the whole list, and write them back to the file, unless
        there are none. They are not checked. If the write fails, the list is in force, the file stays as it is, and a
        warning is logged.
        """
        with self._lock:
            self._entries = dict.fromkeys(accounts)
            # With no entry there is nothing to bring into lower case.
            if not self._entries:
                return
            try:
                write_entries(self.path, AllowlistKind.ACCOUNTS, self.entries)
                # A read-only file is a valid setting: the list is then fixed. The node must start with it.
            except (OSError, ValueError) as error:
                log.warning(f"the account list cannot be written back, and changes of it will fail: {error}")

    def _change(self, entries: dict[str, None]) -> None:
        try:
            _store(self.path, AllowlistKind.ACCOUNTS, tuple(self._entries), tuple(entries))
            # Besu's result: if the file was changed by hand, the new list is in force, but the file keeps its content.
        except AllowlistChangeError as error:
            if error.problem is AllowlistProblem.FILE_SYNC:
                self._entries = entries
            raise
        self._entries = entries

    def _decision(self, allowed: bool, reason: str) -> Decision:
        return Decision(allowed, "local-accounts", str(self.path), None, reason)


class NodeAllowlist:
    """The nodes that may connect, in the file `path`. Any thread may use the list.

    `fixed` are the bootnodes and the static nodes. They must be in the list at the start, and `remove` refuses them.
    `own_id` is the id of this node (64 bytes). `add` and `remove` take two nodes for the same if they have the same id,
    IP address and ports. `decide` does not compare the UDP port. If `names` is given, host names are allowed. The file
    keeps them as the operator wrote them. The decisions use their addresses. A change takes `lock`, or a lock of this
    list if `lock` is None.
    """

    def __init__(
        self,
        path: Path,
        own_id: bytes,
        fixed: Sequence[Enode] = (),
        *,
        names: HostNames | None = None,
        lock: Lock | None = None,
    ) -> None:
        """Read the list. DNS may take seconds. PermissionsFileError as for `read_nodes_of_file`, or if the list lacks a
        fixed node."""
        self.path = path
        self._own_id = own_id
        self._fixed = tuple(fixed)
        self._names = names
        self._lock: Lock = lock or RLock()
        self._listeners: list[Callable[[], None]] = []
        listed = self.read_nodes_of_file()
        if names is not None:
            names.look_up_all(self._fixed)
        self._nodes = _Nodes.from_enodes(listed, self._with_address)
        # A node that must not talk to its own bootnode never finds the network. Besu stops at this mistake, too.
        missing = [node for node in self._fixed if not self._nodes.contains(self._with_address(node))]
        if missing:
            named = ", ".join(str(Enode(node.id, node.host, node.tcp, node.tcp)) for node in missing)
            raise PermissionsFileError(f"Specified node(s) not in {AllowlistKind.NODES.value} [{named}]")

    @property
    def entries(self) -> tuple[Enode, ...]:
        """The entries that the list has now, in its order, each once. A host name is given as its known address, as
        Besu does, unless names are looked up again from time to time."""
        if self._names is not None and not self._names.looks_up_again:
            return tuple(map(self._with_address, self._nodes.listed))
        return self._nodes.listed

    @property
    def refreshes_addresses(self) -> bool:
        """Whether host names are allowed and looked up again from time to time. If not, `refresh_addresses` need not be
        called."""
        return self._names is not None and self._names.looks_up_again

    def on_change(self, listener: Callable[[], None]) -> None:
        """Add a listener that is called after every change of the list, in the thread that changed it. A new address of
        a listed name is a change too. The listener runs under the lock of the list and must be quick."""
        self._listeners.append(listener)

    def decide(self, enode: Enode) -> Decision:
        """Decide whether `enode` may be at one end of a connection. This node itself always may.

        The id, the address and the TCP port must be those of an entry. The UDP port does not count. This does not wait
        for DNS: an entry whose name has no known address matches no IP address.
        """
        if enode.id == self._own_id:
            return self._decision(True, "it is this node itself")
        # One read of the attribute. A change in another thread replaces the value, and the lines below use one of both.
        nodes = self._nodes
        if nodes.contains(self._with_address(enode)):
            return self._decision(True, f"node {_short(enode.id)} is in {AllowlistKind.NODES.value}")
        # From here on the decision is a refusal. The rest finds the reason that helps an operator most: a known node
        # at another address is the usual mistake after a move.
        others = nodes.find_by_id(enode.id)
        if not others:
            return self._decision(False, f"node {_short(enode.id)} is not in {AllowlistKind.NODES.value}")
        places = " and ".join(_address_text(other, self._with_address(other)) for other in others)
        here = _address_text(enode, enode)
        reason = f"node {_short(enode.id)} is in {AllowlistKind.NODES.value} at {places}, not at {here}"
        return self._decision(False, reason)

    def add(self, urls: Sequence[str]) -> None:
        """Append all nodes of `urls` (enode URLs) to the list, or none of them. Write the list to the file. DNS may
        take seconds.

        AllowlistChangeError with EMPTY, INVALID, DUPLICATED, EXISTING or PERSIST_FAILURE: the list is unchanged.
        AllowlistChangeError with FILE_SYNC: the list has changed, but the file has not. A host name that is not
        allowed is INVALID. So is a name without an address, unless names are looked up again from time to time.
        """
        # The names are looked up before the lock is taken. A slow name server must not stop other changes.
        added = self._checked(urls)
        with self._lock:
            listed = set(map(self._with_address, self._nodes.listed))
            # Besu refuses the whole request if one entry is there already. A client can then rely on all or none.
            if any(self._with_address(node) in listed for node in added):
                raise AllowlistChangeError(AllowlistProblem.EXISTING)
            self._change((*self._nodes.listed, *added))

    def remove(self, urls: Sequence[str]) -> None:
        """Remove all nodes of `urls` (enode URLs) from the list, or none of them. Write the list to the file. DNS may
        take seconds.

        AllowlistChangeError with EMPTY, INVALID, DUPLICATED, FIXED_NODE, ABSENT or PERSIST_FAILURE: the list is
        unchanged. AllowlistChangeError with FILE_SYNC: the list has changed, but the file has not.
        """
        # The addresses are compared, not the texts. An operator may remove by address a node that was added by name.
        removed = {self._with_address(node) for node in self._checked(urls)}
        # Without this check, the next start would fail: a fixed node that is not listed is an error at the start.
        if not removed.isdisjoint(map(self._with_address, self._fixed)):
            raise AllowlistChangeError(AllowlistProblem.FIXED_NODE)
        with self._lock:
            if not removed.issubset(map(self._with_address, self._nodes.listed)):
                raise AllowlistChangeError(AllowlistProblem.ABSENT)
            self._change(tuple(node for node in self._nodes.listed if self._with_address(node) not in removed))

    def replace_in_memory(self, nodes: Sequence[Enode]) -> None:
        """Use `nodes`, which `read_nodes_of_file` returned, as the whole list, and notify the listeners if the list
        differs. The file is not written. As in Besu, it is not checked that the list has the fixed nodes."""
        with self._lock:
            self._use_nodes(_Nodes.from_enodes(nodes, self._with_address))

    def read_nodes_of_file(self) -> tuple[Enode, ...]:
        """Return the nodes that the file lists now, for `replace_in_memory`. The list in force does not change. DNS may
        take seconds.

        PermissionsFileError if the file has no valid list, or if a name has no address and names are not looked up
        again.
        """
        nodes = _read_nodes(self.path, allow_names=self._names is not None)
        nameless = self._look_up_names(nodes)
        # At the start and at a reload, an entry that can never match is an error. Silence would refuse this node
        # without a visible reason.
        if nameless:
            raise PermissionsFileError(
                f"Invalid IP address '{nameless[0]}' (or DNS query resolved an invalid IP). --Xdns-enabled is true but "
                f"--Xdns-update-enabled flag is false. It is in {AllowlistKind.NODES.value} of {self.path}"
            )
        return nodes

    def refresh_addresses(self) -> None:
        """Ask DNS for the addresses of all names again, and decide by the new ones. Nothing if names are not allowed.
        This blocks for seconds, so a thread of its own must call it. A name that DNS does not answer keeps its address.
        """
        if self._names is None:
            return
        # The fixed nodes are looked up too. The check before a removal compares their addresses.
        self._names.look_up_all((*self._nodes.listed, *self._fixed), again=True)
        with self._lock:
            self._use_nodes(_Nodes.from_enodes(self._nodes.listed, self._with_address))

    def _with_address(self, enode: Enode) -> Enode:
        return enode if self._names is None else self._names.with_address(enode)

    def _look_up_names(self, nodes: Sequence[Enode]) -> list[str]:
        """Look up the names of `nodes`. Return the names without an address, if that is a mistake."""
        if self._names is None:
            return []
        self._names.look_up_all(nodes)
        unknown = self._names.names_without_address(nodes)
        # Without updates the name would never get an address. With updates it may get one at the next look-up.
        if not self._names.looks_up_again:
            return unknown
        for name in unknown:
            log.warning(
                f"the name {name!r} in {AllowlistKind.NODES.value} has no address: its node is permitted when it has one"
            )
        return []

    def _checked(self, urls: Sequence[str]) -> tuple[Enode, ...]:
        if not urls:
            raise AllowlistChangeError(AllowlistProblem.EMPTY)
        # The order of the checks decides which of Besu's errors a client receives for a request with two mistakes.
        if len(set(urls)) < len(urls):
            raise AllowlistChangeError(AllowlistProblem.DUPLICATED)
        try:
            nodes = tuple(Enode.parse(url, allow_names=self._names is not None) for url in urls)
        except EnodeError:
            raise AllowlistChangeError(AllowlistProblem.INVALID) from None
        if self._look_up_names(nodes):
            raise AllowlistChangeError(AllowlistProblem.INVALID)
        # Two names may have one address. They are one node, and the file must not have it twice.
        return tuple({self._with_address(node): node for node in nodes}.values())

    def _change(self, nodes: Sequence[Enode]) -> None:
        # The caller holds the lock, and other changes wait for it. So the listeners must be quick.
        after = _Nodes.from_enodes(nodes, self._with_address)
        try:
            _store(self.path, AllowlistKind.NODES, list(map(str, self._nodes.listed)), list(map(str, after.listed)))
        except AllowlistChangeError as error:
            if error.problem is AllowlistProblem.FILE_SYNC:
                self._use_nodes(after)
            raise
        self._use_nodes(after)

    def _use_nodes(self, nodes: "_Nodes") -> None:
        """Decide by `nodes` from now on. Notify the listeners if `nodes` differs from the list before."""
        # The value is replaced before the listeners run. They ask for decisions, and must get the new ones.
        before, self._nodes = self._nodes, nodes
        if before != nodes:
            for listener in self._listeners:
                listener()

    def _decision(self, allowed: bool, reason: str) -> Decision:
        return Decision(allowed, "local-nodes", str(self.path), None, reason)


@dataclass(frozen=True, slots=True)
class LocalPermissions:
    """Both lists and their lock. A list that is off is None. Every change of a list takes the lock."""

    accounts: AccountAllowlist | None = None
    nodes: NodeAllowlist | None = None
    lock: Lock = field(default_factory=RLock, compare=False, repr=False)

    def reload(self) -> None:
        """Read the files of both lists again and use them. Write the accounts back in lower case. DNS may take seconds.
        PermissionsFileError if a file is invalid. Both lists are then unchanged."""
        with self.lock:
            # Both files are read before any list changes. A mistake in the second file must not leave half a reload.
            accounts = None if self.accounts is None else _read_accounts(self.accounts.path)
            nodes = None if self.nodes is None else self.nodes.read_nodes_of_file()
            if self.accounts is not None and accounts is not None:
                self.accounts.replace_and_write(accounts)
            if self.nodes is not None and nodes is not None:
                self.nodes.replace_in_memory(nodes)


def open_local_permissions(
    settings: PermissioningSettings, own_id: bytes, fixed: Sequence[Enode], names: HostNames | None = None
) -> LocalPermissions:
    """Open the lists that `settings` name. A list without a file is None. `own_id` is the id of this node (64 bytes).
    `fixed` are the bootnodes and static nodes. Host names are allowed if `names` is given. DNS may take seconds. The
    accounts are written back in lower case.

    PermissionsFileError if a file has no valid list, or if the list of nodes lacks a fixed node.
    """
    # Both lists may be in one file, and each change rewrites the whole file. Without a common lock, two changes at the
    # same time would lose one of them.
    lock = RLock()
    nodes = None
    if settings.nodes_file is not None:
        nodes = NodeAllowlist(settings.nodes_file, own_id, fixed, names=names, lock=lock)
    accounts = None if settings.accounts_file is None else AccountAllowlist(settings.accounts_file, lock)
    return LocalPermissions(accounts, nodes, lock)


def _read_accounts(path: Path) -> tuple[str, ...]:
    """Return the accounts of the file in its order, as 0x-hexadecimal text in lower case. Empty if the list is empty.

    PermissionsFileError if the file cannot be read or has no valid list. An account that is there twice is a mistake
    here. Besu would use an empty list without a message.
    """
    entries = read_entries(path, AllowlistKind.ACCOUNTS)
    for entry in entries:
        # As in Besu, the digits may be upper case, but the prefix may not.
        if not _is_account(entry.lower()) or not entry.startswith("0x"):
            raise PermissionsFileError(f"Invalid account {entry}")
    accounts = tuple(entry.lower() for entry in entries)
    for account, count in Counter(accounts).items():
        if count > 1:
            raise PermissionsFileError(
                f"Invalid account {account}: it is twice in {AllowlistKind.ACCOUNTS.value} of {path}"
            )
    return accounts


def _read_nodes(path: Path, *, allow_names: bool = False) -> tuple[Enode, ...]:
    """Return the nodes of the file in its order. Each node comes once. `allow_names` allows host names, which are not
    looked up. PermissionsFileError if the file cannot be read or has no valid list."""
    nodes: dict[Enode, None] = {}
    for entry in read_entries(path, AllowlistKind.NODES):
        try:
            # Unlike an account, a node may be in the file twice. It is kept once, which changes no decision.
            nodes[Enode.parse(entry, allow_names=allow_names)] = None
        except EnodeError as error:
            raise PermissionsFileError(f"Invalid enode URL syntax in {path}: {error}") from None
    return tuple(nodes)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The list as the operator wrote it, each node once, and the endpoint of each node (id, IP address, TCP port)."""

    # Decisions look into `endpoints`, so that their cost does not grow with the list. A name is already its address here.
    listed: tuple[Enode, ...]
    endpoints: frozenset[tuple[bytes, str, int]]

    @classmethod
    def from_enodes(cls, nodes: Sequence[Enode], with_address: Callable[[Enode], Enode]) -> "_Nodes":
        listed = tuple(dict.fromkeys(nodes))
        return cls(listed, frozenset(with_address(node).endpoint for node in listed))

    def contains(self, placed: Enode) -> bool:
        return placed.endpoint in self.endpoints

    def find_by_id(self, id_: bytes) -> tuple[Enode, ...]:
        return tuple(node for node in self.listed if node.id == id_)


def _store(path: Path, kind: AllowlistKind, before: Sequence[str], after: Sequence[str]) -> None:
    """Write `after` to the file, which should contain `before`. AllowlistChangeError if it does not, or on failure."""
    try:
        stored = set(read_entries_without_legacy_key(path, kind))
        # An operator may have edited the file since the node read it. The node must not overwrite such an edit with its
        # own, older list. As in Besu, the new list is in force and the file stays as it is.
        if not stored.issuperset(before):
            raise AllowlistChangeError(AllowlistProblem.FILE_SYNC)
        write_entries(path, kind, after)
    except OSError as error:
        log.warning(f"the list of {kind.name.lower()} cannot be written: {error}")
        raise AllowlistChangeError(AllowlistProblem.PERSIST_FAILURE) from None
    except ValueError:
        # The file is no valid TOML any more. The node cannot know what the operator meant, so it does not write.
        raise AllowlistChangeError(AllowlistProblem.FILE_SYNC) from None


def _checked_accounts(accounts: Sequence[str]) -> tuple[str, ...]:
    if not accounts:
        raise AllowlistChangeError(AllowlistProblem.EMPTY)
    normalised = tuple(account.lower() for account in accounts)
    if not all(map(_is_account, normalised)):
        raise AllowlistChangeError(AllowlistProblem.INVALID)
    if len(set(normalised)) < len(normalised):
        raise AllowlistChangeError(AllowlistProblem.DUPLICATED)
    return normalised


def _is_account(text: str) -> bool:
    return _ACCOUNT.fullmatch(text) is not None


def _address_text(written: Enode, placed: Enode) -> str:
    if not written.is_named:
        return written.host_and_port
    return f"{written.host_and_port} ({'which has no address' if placed.is_named else placed.host})"


def _short(node_id: bytes) -> str:
    return f"{node_id.hex()[:16]}..."
