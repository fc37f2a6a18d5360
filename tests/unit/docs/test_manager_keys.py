"""The page about the manager has every key of its configuration, no other one, and their defaults."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from lacnode.privacy.service.manager_config import ManagerConfig

PAGE = (Path(__file__).parents[3] / "docs" / "operators" / "privacy-manager.md").read_text("utf-8")
TABLE = PAGE.partition("| Key | Here |\n|---|---|\n")[2].partition("\n\n")[0]
KEYS = {field.name for field in fields(ManagerConfig)} - {"notices"}


def test_each_key_is_in_the_table() -> None:
    assert [key for key in KEYS if f"`{key}`" not in TABLE] == []


def test_each_row_is_of_keys() -> None:
    rows = [line.split("|")[1] for line in TABLE.splitlines()]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) <= KEYS


@pytest.mark.parametrize(
    "key",
    [
        *("nodenetworkinterface", "nodeport", "clientnetworkinterface", "clientport"),
        *("tlsservercert", "tlsserverkey", "tlsclientcert", "tlsclientkey", "tlsknownclients", "tlsknownservers"),
        *("clientconnectiontlsservercert", "clientconnectiontlsserverkey", "clientconnectiontlsknownclients"),
        *("tlsservertrust", "tlsclienttrust", "clientconnectiontlsservertrust"),
        *("knownkeysmegabytes", "unknownkeysmegabytes", "diskreservemegabytes"),
    ],
)
def test_the_row_of_a_key_has_its_default(key: str) -> None:
    default = str(getattr(ManagerConfig(), key))
    assert any(re.search(rf"(?<!\w){re.escape(default)}(?!\w)", row) for row in TABLE.splitlines() if f"`{key}`" in row)
