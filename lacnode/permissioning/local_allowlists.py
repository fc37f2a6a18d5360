"""The local lists: which nodes and which accounts this node's own file allows, and how that changes while it runs.

Operations, the order of their checks and what a failure leaves behind are Besu's (`NodeLocalConfigPermissioningController`,
`AccountLocalConfigPermissioningController`). The lists are a private policy: they must not decide whether a block is valid.
Changes may come from any thread; decisions read one immutable value and never wait.
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
    stored_entries,
    write_entries,
)
from lacnode.permissioning.settings import PermissioningSettings

log = structlog.get_logger("permissioning")

Lock = AbstractContextManager[object]

_ACCOUNT = re.compile(r"0x[0-9a-f]{40}", re.ASCII)


class AllowlistProblem(Enum):
    """Why a change of a list is refused, or was not stored."""

    EMPTY = "the request names nobody"
    INVALID = "an entry is malformed"
    DUPLICATED = "an entry is there twice"
    EXISTING = "an entry is in the list already"
    ABSENT = "an entry is not in the list"
    FIXED_NODE = "a bootnode or static node must stay in the list"
    PERSIST_FAILURE = "the file cannot be written; nothing has changed"
    FILE_SYNC = "the file lacks entries of the list; the change holds, but is not stored"


class AllowlistChangeError(Exception):
    """A change that did not go as asked; after FILE_SYNC it is in force, else nothing has changed."""

    def __init__(self, problem: AllowlistProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


class AccountAllowlist:
    """The accounts that may send: addresses as lower-case text, in the file's order."""

    def __init__(self, path: Path, lock: Lock | None = None) -> None:
        """Read the list and write it back in lower case, as Besu does; PermissionsFileError if there is none."""
        self.path = path
        self._lock: Lock = lock or RLock()
        self._entries: dict[str, None] = {}
        self.replace(read_accounts(path))

    @property
    def entries(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def decide(self, sender: bytes | None) -> Decision:
        """Whether `sender` (20 bytes; None for a transaction without one) may send."""
        if sender is None:
            return self._decision(False, "the transaction has no sender")
        account = "0x" + sender.hex()
        allowed = account in self._entries
        return self._decision(
            allowed, f"account {account} is {'' if allowed else 'not '}in {AllowlistKind.ACCOUNTS.value}"
        )

    def add(self, accounts: Sequence[str]) -> None:
        """Append `accounts`, all or none; AllowlistChangeError."""
        added = _checked_accounts(accounts)
        with self._lock:
            if any(account in self._entries for account in added):
                raise AllowlistChangeError(AllowlistProblem.EXISTING)
            self._change(dict.fromkeys((*self._entries, *added)))

    def remove(self, accounts: Sequence[str]) -> None:
        """Take out `accounts`, all or none; AllowlistChangeError."""
        removed = set(_checked_accounts(accounts))
        with self._lock:
            if not removed <= self._entries.keys():
                raise AllowlistChangeError(AllowlistProblem.ABSENT)
            self._change({account: None for account in self._entries if account not in removed})

    def replace(self, accounts: Sequence[str]) -> None:
        """Take over what was read of the file, and normalise the file; one that cannot be written stays as it is."""
        with self._lock:
            self._entries = dict.fromkeys(accounts)
            if not self._entries:
                return
            try:
                write_entries(self.path, AllowlistKind.ACCOUNTS, self.entries)
            except (OSError, ValueError) as error:
                log.warning(f"the account list cannot be written back, and changes of it will fail: {error}")

    def _change(self, entries: dict[str, None]) -> None:
        try:
            _store(self.path, AllowlistKind.ACCOUNTS, tuple(self._entries), tuple(entries))
        except AllowlistChangeError as error:
            if error.problem is AllowlistProblem.FILE_SYNC:
                self._entries = entries
            raise
        self._entries = entries

    def _decision(self, allowed: bool, reason: str) -> Decision:
        return Decision(allowed, "local-accounts", str(self.path), None, reason)


class NodeAllowlist:
    """The nodes that may connect. `fixed` (bootnodes and static nodes) must be listed at the start and stay so.

    Nodes are told apart by id, IP address and ports. Where `names` allows host names, they are kept in the file as they
    were written, and decided by the addresses that they have.
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
        """Read the list; PermissionsFileError if there is none, or if it lacks a fixed node."""
        self.path = path
        self._own_id = own_id
        self._fixed = tuple(fixed)
        self._names = names
        self._lock: Lock = lock or RLock()
        self._listeners: list[Callable[[], None]] = []
        listed = self.read_file_again()
        if names is not None:
            names.learn(self._fixed)
        self._nodes = _Nodes.of(listed, self._place)
        missing = [node for node in self._fixed if not self._nodes.holds(self._place(node))]
        if missing:
            named = ", ".join(str(Enode(node.id, node.host, node.tcp, node.tcp)) for node in missing)
            raise PermissionsFileError(f"Specified node(s) not in {AllowlistKind.NODES.value} [{named}]")

    @property
    def entries(self) -> tuple[Enode, ...]:
        """As Besu shows them: names only where they are looked up again, else the addresses that they have."""
        if self._names is not None and not self._names.update:
            return tuple(map(self._place, self._nodes.listed))
        return self._nodes.listed

    @property
    def refreshes_addresses(self) -> bool:
        """Whether the addresses of names may change, so that `refresh_addresses` has something to do."""
        return self._names is not None and self._names.update

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change, in the thread of whoever changed the list."""
        self._listeners.append(listener)

    def decide(self, enode: Enode) -> Decision:
        """Whether `enode` may be at either end of a connection: id, address and TCP port count, this node always may."""
        if enode.id == self._own_id:
            return self._decision(True, "it is this node itself")
        nodes = self._nodes
        if nodes.holds(self._place(enode)):
            return self._decision(True, f"node {_short(enode.id)} is in {AllowlistKind.NODES.value}")
        others = nodes.find_written(enode.id)
        if not others:
            return self._decision(False, f"node {_short(enode.id)} is not in {AllowlistKind.NODES.value}")
        places = " and ".join(_place_text(other, self._place(other)) for other in others)
        reason = (
            f"node {_short(enode.id)} is in {AllowlistKind.NODES.value} at {places}, not at {_place_text(enode, enode)}"
        )
        return self._decision(False, reason)

    def add(self, urls: Sequence[str]) -> None:
        """Append the nodes of `urls`, all or none; AllowlistChangeError. Looks names up, so it may take a while."""
        added = self._checked(urls)
        with self._lock:
            listed = set(map(self._place, self._nodes.listed))
            if any(self._place(node) in listed for node in added):
                raise AllowlistChangeError(AllowlistProblem.EXISTING)
            self._change((*self._nodes.listed, *added))

    def remove(self, urls: Sequence[str]) -> None:
        """Take out the nodes of `urls`, all or none; AllowlistChangeError. Looks names up, so it may take a while."""
        removed = {self._place(node) for node in self._checked(urls)}
        if not removed.isdisjoint(map(self._place, self._fixed)):
            raise AllowlistChangeError(AllowlistProblem.FIXED_NODE)
        with self._lock:
            if not removed.issubset(map(self._place, self._nodes.listed)):
                raise AllowlistChangeError(AllowlistProblem.ABSENT)
            self._change(tuple(node for node in self._nodes.listed if self._place(node) not in removed))

    def replace(self, nodes: Sequence[Enode]) -> None:
        """Take over what `read_file_again` gave. As in Besu, the fixed nodes are not looked for again."""
        with self._lock:
            self._take(_Nodes.of(nodes, self._place))

    def read_file_again(self) -> tuple[Enode, ...]:
        """The file's list as it is now, for `replace`; PermissionsFileError. Looks names up, so it may take a while."""
        nodes = read_nodes(self.path, allow_names=self._names is not None)
        nameless = self._learn(nodes)
        if nameless:
            raise PermissionsFileError(
                f"Invalid IP address '{nameless[0]}' (or DNS query resolved an invalid IP). --Xdns-enabled is true but "
                f"--Xdns-update-enabled flag is false. It is in {AllowlistKind.NODES.value} of {self.path}"
            )
        return nodes

    def refresh_addresses(self) -> None:
        """Ask for the addresses of all names again; for a thread of its own."""
        if self._names is None:
            return
        self._names.learn((*self._nodes.listed, *self._fixed), again=True)
        with self._lock:
            self._take(_Nodes.of(self._nodes.listed, self._place))

    def _place(self, enode: Enode) -> Enode:
        return enode if self._names is None else self._names.place(enode)

    def _learn(self, nodes: Sequence[Enode]) -> list[str]:
        """Look the names of `nodes` up; those without an address, where that is a mistake."""
        if self._names is None:
            return []
        self._names.learn(nodes)
        unknown = self._names.unknown(nodes)
        if not self._names.update:
            return unknown
        for name in unknown:
            log.warning(
                f"the name {name!r} in {AllowlistKind.NODES.value} has no address: its node is permitted when it has one"
            )
        return []

    def _checked(self, urls: Sequence[str]) -> tuple[Enode, ...]:
        if not urls:
            raise AllowlistChangeError(AllowlistProblem.EMPTY)
        if len(set(urls)) < len(urls):
            raise AllowlistChangeError(AllowlistProblem.DUPLICATED)
        try:
            nodes = tuple(Enode.parse(url, allow_names=self._names is not None) for url in urls)
        except EnodeError:
            raise AllowlistChangeError(AllowlistProblem.INVALID) from None
        if self._learn(nodes):
            raise AllowlistChangeError(AllowlistProblem.INVALID)
        return tuple({self._place(node): node for node in nodes}.values())

    def _change(self, nodes: Sequence[Enode]) -> None:
        """Called with the lock held, which others wait for: the listeners must be quick."""
        after = _Nodes.of(nodes, self._place)
        try:
            _store(self.path, AllowlistKind.NODES, list(map(str, self._nodes.listed)), list(map(str, after.listed)))
        except AllowlistChangeError as error:
            if error.problem is AllowlistProblem.FILE_SYNC:
                self._take(after)
            raise
        self._take(after)

    def _take(self, nodes: "_Nodes") -> None:
        """From now on decide by `nodes`; the listeners are told if that makes a difference."""
        before, self._nodes = self._nodes, nodes
        if before != nodes:
            for listener in self._listeners:
                listener()

    def _decision(self, allowed: bool, reason: str) -> Decision:
        return Decision(allowed, "local-nodes", str(self.path), None, reason)


@dataclass(frozen=True, slots=True)
class LocalPermissions:
    """Both lists, None where one is off, and the lock that changes of them wait for."""

    accounts: AccountAllowlist | None = None
    nodes: NodeAllowlist | None = None
    lock: Lock = field(default_factory=RLock, compare=False, repr=False)

    def reload(self) -> None:
        """Read the files again; PermissionsFileError, and then both lists are as before."""
        with self.lock:
            accounts = None if self.accounts is None else read_accounts(self.accounts.path)
            nodes = None if self.nodes is None else self.nodes.read_file_again()
            if self.accounts is not None and accounts is not None:
                self.accounts.replace(accounts)
            if self.nodes is not None and nodes is not None:
                self.nodes.replace(nodes)


def open_local_permissions(
    settings: PermissioningSettings, own_id: bytes, fixed: Sequence[Enode], names: HostNames | None = None
) -> LocalPermissions:
    """The lists that `settings` name, with host names where `names` is given; PermissionsFileError for a file that cannot
    be one. The lists share a lock, since they may share a file."""
    lock = RLock()
    nodes = None
    if settings.nodes_file is not None:
        nodes = NodeAllowlist(settings.nodes_file, own_id, fixed, names=names, lock=lock)
    accounts = None if settings.accounts_file is None else AccountAllowlist(settings.accounts_file, lock)
    return LocalPermissions(accounts, nodes, lock)


def read_accounts(path: Path) -> tuple[str, ...]:
    """The file's accounts in lower case; PermissionsFileError. A list with an account twice is none: Besu would take
    it for an empty one, and say nothing."""
    entries = read_entries(path, AllowlistKind.ACCOUNTS)
    for entry in entries:
        if not _is_account(entry.lower()) or not entry.startswith("0x"):
            raise PermissionsFileError(f"Invalid account {entry}")
    accounts = tuple(entry.lower() for entry in entries)
    for account, count in Counter(accounts).items():
        if count > 1:
            raise PermissionsFileError(
                f"Invalid account {account}: it is twice in {AllowlistKind.ACCOUNTS.value} of {path}"
            )
    return accounts


def read_nodes(path: Path, *, allow_names: bool = False) -> tuple[Enode, ...]:
    """The file's nodes, each once; PermissionsFileError."""
    nodes: dict[Enode, None] = {}
    for entry in read_entries(path, AllowlistKind.NODES):
        try:
            nodes[Enode.parse(entry, allow_names=allow_names)] = None
        except EnodeError as error:
            raise PermissionsFileError(f"Invalid enode URL syntax in {path}: {error}") from None
    return tuple(nodes)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """`listed` as written, each once, and the endpoint of each: where its name, if it has one, is known to be."""

    listed: tuple[Enode, ...]
    endpoints: frozenset[tuple[bytes, str, int]]

    @classmethod
    def of(cls, nodes: Sequence[Enode], place: Callable[[Enode], Enode]) -> "_Nodes":
        listed = tuple(dict.fromkeys(nodes))
        return cls(listed, frozenset(place(node).endpoint for node in listed))

    def holds(self, placed: Enode) -> bool:
        return placed.endpoint in self.endpoints

    def find_written(self, id_: bytes) -> tuple[Enode, ...]:
        return tuple(node for node in self.listed if node.id == id_)


def _store(path: Path, kind: AllowlistKind, before: Sequence[str], after: Sequence[str]) -> None:
    """Put `after` into a file that holds `before`; AllowlistChangeError."""
    try:
        stored = set(stored_entries(path, kind))
        if not stored.issuperset(before):
            raise AllowlistChangeError(AllowlistProblem.FILE_SYNC)
        write_entries(path, kind, after)
    except OSError as error:
        log.warning(f"the list of {kind.name.lower()} cannot be written: {error}")
        raise AllowlistChangeError(AllowlistProblem.PERSIST_FAILURE) from None
    except ValueError:
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


def _place_text(written: Enode, placed: Enode) -> str:
    if not written.is_named:
        return written.place
    return f"{written.place} ({'which has no address' if placed.is_named else placed.host})"


def _short(node_id: bytes) -> str:
    return f"{node_id.hex()[:16]}..."
