"""Checks of the options against this machine: host names that have an address, files that can be read, directories that
can be written.

All checks come before a port is opened. Services elsewhere (a push gateway, a transaction manager) are not checked:
they may be away when a node starts, and the node tries again.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from lacnode.cli.settings_reader import SettingsReader

PERMISSIONS_FILE = "permissions_config.toml"
"""The permissions file in the data directory, if no option names another one."""

LISTENING_HOSTS = (
    ("p2p-enabled", "p2p-interface"),
    ("rpc-http-enabled", "rpc-http-host"),
    ("rpc-ws-enabled", "rpc-ws-host"),
    ("graphql-http-enabled", "graphql-http-host"),
    ("metrics-enabled", "metrics-host"),
)
"""Switches, and the hosts on which the node listens while they are on."""

READ_FILES = (
    ("permissions-nodes-config-file-enabled", "permissions-nodes-config-file"),
    ("permissions-accounts-config-file-enabled", "permissions-accounts-config-file"),
    ("rpc-http-authentication-enabled", "rpc-http-authentication-credentials-file"),
    ("rpc-http-authentication-enabled", "rpc-http-authentication-jwt-public-key-file"),
    ("rpc-ws-authentication-enabled", "rpc-ws-authentication-credentials-file"),
    ("rpc-ws-authentication-enabled", "rpc-ws-authentication-jwt-public-key-file"),
    ("rpc-http-tls-enabled", "rpc-http-tls-keystore-file"),
    ("rpc-http-tls-enabled", "rpc-http-tls-keystore-password-file"),
    ("rpc-http-tls-client-auth-enabled", "rpc-http-tls-known-clients-file"),
    ("rpc-http-tls-client-auth-enabled", "rpc-http-tls-truststore-file"),
    ("rpc-http-tls-client-auth-enabled", "rpc-http-tls-truststore-password-file"),
    ("rpc-ws-ssl-enabled", "rpc-ws-ssl-keystore-file"),
    ("rpc-ws-ssl-enabled", "rpc-ws-ssl-keystore-password-file"),
    ("rpc-ws-ssl-enabled", "rpc-ws-ssl-key-file"),
    ("rpc-ws-ssl-enabled", "rpc-ws-ssl-cert-file"),
    ("rpc-ws-ssl-client-auth-enabled", "rpc-ws-ssl-truststore-file"),
    ("rpc-ws-ssl-client-auth-enabled", "rpc-ws-ssl-truststore-password-file"),
    ("rpc-ws-ssl-client-auth-enabled", "rpc-ws-ssl-trustcert-file"),
    ("graphql-tls-enabled", "graphql-tls-keystore-file"),
    ("graphql-tls-enabled", "graphql-tls-keystore-password-file"),
    ("graphql-mtls-enabled", "graphql-tls-truststore-file"),
    ("graphql-mtls-enabled", "graphql-tls-truststore-password-file"),
    ("privacy-enabled", "privacy-manager-config-file"),
    ("privacy-enabled", "privacy-marker-transaction-signing-key-file"),
    ("privacy-tls-enabled", "privacy-tls-keystore-file"),
    ("privacy-tls-enabled", "privacy-tls-keystore-password-file"),
    ("privacy-tls-enabled", "privacy-tls-known-enclave-file"),
)
"""Switches, and the files that the node reads while they are on."""


def find_unusable_hosts_and_files(read: SettingsReader) -> Iterator[str]:
    """Yield one sentence for each option whose host, file or directory cannot be used on this machine. Options whose
    switch is off are not checked. It looks names up, which may block. It creates no file, and leaves none open."""
    for switch, name in LISTENING_HOSTS:
        if read.flag(switch) and (why := _why_not_listened_on(read.text(name))):
            yield _invalid(name, why)
    if read.flag("p2p-enabled") and (why := _why_without_address(read.text("p2p-host"))):
        yield _invalid("p2p-host", why)
    for switch, name in READ_FILES:
        # A file that no option names is not checked here. The permissions file in the data directory is refused in
        # Besu's words when it is read, also before a port is opened.
        file = read.path(name)
        if file is not None and read.flag(switch) and (why := _why_not_readable(file)):
            yield _invalid(name, why)
    yield from _written_places(read)


def _invalid(name: str, why: str) -> str:
    return f"Invalid value for option '--{name}': {why}"


def _written_places(read: SettingsReader) -> Iterator[str]:
    if why := _why_no_directory(read.data_path):
        yield _invalid("data-path", why)
    # A socket is made at every start. A killed node may have left one, so a file that is there is no obstacle here.
    ipc_path = read.path("Xrpc-ipc-path")
    if ipc_path is not None and read.flag("Xrpc-ipc-enabled") and (why := _why_not_writable(ipc_path, existing=False)):
        yield _invalid("Xrpc-ipc-path", why)
    for name in ("pid-path", "node-private-key-file"):
        file = read.path(name)
        # The file of the process id is written at every start. A key file is only made if it is missing.
        if file is not None and (why := _why_not_writable(file, existing=name == "pid-path")):
            yield _invalid(name, why)


# -- hosts ---------------------------------------------------------------------------------------------------------


def _why_without_address(host: str) -> str:
    return "" if _addresses(host) else f"'{host}' is neither an IP address nor a name that has one"


def _why_not_listened_on(host: str) -> str:
    found = _addresses(host)
    if not found:
        return _why_without_address(host)
    # A name may have several addresses. One that belongs to this machine is enough.
    return "" if any(_is_of_this_machine(*address) for address in found) else f"'{host}' is no address of this machine"


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(family, str(place[0])) for family, _, _, _, place in found]


def _is_of_this_machine(family: socket.AddressFamily, address: str) -> bool:
    """Return whether a port could be opened at `address`. Nothing listens there."""
    try:
        # A datagram socket at port 0: binding it fails for a foreign address only, and takes no port from a server.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


# -- files ---------------------------------------------------------------------------------------------------------


def _why_not_readable(file: Path) -> str:
    try:
        if file.is_dir():
            return f"{file} is a directory, not a file"
        # Opening is the only test that respects every access rule of the system.
        with file.open("rb"):
            return ""
    except OSError as error:
        return f"{file}: {error.strerror}"


def _why_no_directory(path: Path) -> str:
    """Return why `path` is no directory in which files can be written, nor can become one. Empty if it is or can."""
    place = path.absolute()
    # The node makes missing directories. What counts is the nearest one that exists.
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a directory"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written to"


def _why_not_writable(file: Path, *, existing: bool) -> str:
    """Return why `file` cannot be made. Empty if it can. A file that exists must be writable only where the node
    writes it again (`existing`)."""
    if file.is_dir():
        return f"{file} is a directory, not a file"
    if file.exists():
        return "" if not existing or os.access(file, os.W_OK) else f"{file} cannot be written to"
    return _why_no_directory(file.parent)
