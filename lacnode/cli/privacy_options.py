"""From options to the settings of private transactions. `option_rules` has the rules between these options."""

import base64
import binascii
from pathlib import Path
from urllib.parse import urlsplit

from lacnode.cli.errors import UsageError
from lacnode.cli.option_rules import PRIVACY_TLS_FILES
from lacnode.cli.settings_reader import SettingsReader
from lacnode.node.configuration import PrivacySettings
from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.state.genesis_file import PrivateGenesisError, load_private_genesis
from lacnode.privacy.state.group_genesis import PrivateGenesis
from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.privacy.state.private_state_quota import MEGABYTE

MAX_PUBLIC_KEY_BYTES = 4_096
"""Bytes that are read of a key file. A key is a line of 44 characters."""


DEFAULT_MANAGER_URL = "http://localhost:8888"
"""The URL of the transaction manager if no option names one, as in Besu."""


def privacy_settings(read: SettingsReader) -> PrivacySettings | None:
    """Return the settings of private transactions, None where these are off. UsageError for a URL, a file of the public
    key or a file of private genesis accounts that cannot be used. The other files are not read here."""
    if not read.flag("privacy-enabled"):
        return None
    file = read.path("privacy-public-key-file")
    url = read.text_or_none("privacy-url")
    # A manager in this process is named by its configuration file. It has no URL.
    if url is None and not read.is_set("privacy-manager-config-file"):
        url = DEFAULT_MANAGER_URL
    if url is not None and not _is_url(url):
        raise UsageError(f"Invalid value for option '--privacy-url': an http or https URL was expected, not {url}")
    return PrivacySettings(
        public_key=None if file is None else _public_key(file),
        url=url,
        tls=_tls(read),
        manager_config=read.path("privacy-manager-config-file"),
        marker_key_file=read.path("privacy-marker-transaction-signing-key-file"),
        genesis=_genesis(read),
        mode=_mode(read),
        state_quota_bytes=read.number("privacy-state-quota-megabytes") * MEGABYTE,
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _tls(read: SettingsReader) -> EnclaveTlsFiles | None:
    files = [read.path(name) for name in PRIVACY_TLS_FILES]
    # `option_rules` has refused TLS without all of its files.
    if not read.flag("privacy-tls-enabled") or None in files:
        return None
    return EnclaveTlsFiles(*filter(None, files))


def _genesis(read: SettingsReader) -> PrivateGenesis:
    file = read.path("privacy-genesis-file")
    if file is None:
        return PrivateGenesis()
    try:
        return load_private_genesis(file)
    except PrivateGenesisError as error:
        raise UsageError(f"Problem with privacy-genesis-file: {error}") from None


def _mode(read: SettingsReader) -> GroupMode:
    flexible = read.flag("privacy-flexible-groups-enabled") or read.flag("privacy-onchain-groups-enabled")
    return GroupMode.FLEXIBLE if flexible else GroupMode.OFFCHAIN


def _public_key(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            # The file may be anything that an operator named by mistake, so its size is not trusted.
            text = opened.read(MAX_PUBLIC_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"Problem with privacy-public-key-file: {file}: {error.strerror}") from None
    try:
        # The key is the first line, as Orion writes it.
        key = base64.b64decode(text.partition(b"\n")[0].strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise UsageError(
            f"Contents of privacy-public-key-file invalid: {file}: a public key of 32 bytes in base64 was expected"
        )
    return key
