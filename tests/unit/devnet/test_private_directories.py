"""The directories with keys of a devnet's nodes are for their owner alone, whatever umask the owner has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacnode.devnet.manager_files import make_manager_key
from lacnode.devnet.manifest import NetworkShape, make_devnet


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_data_paths_and_directories_of_managers_are_private(tmp_path: Path) -> None:
    manifest = make_devnet(tmp_path / "net", NetworkShape(1, writers=1, privacy=True), 1.0, 0)
    managers = [node.privacy_directory for node in manifest.nodes if node.privacy_key is not None]
    assert managers
    directories = (*(node.directory for node in manifest.nodes), *managers)
    assert {path: path.stat().st_mode & 0o077 for path in directories} == dict.fromkeys(directories, 0)


def test_the_key_of_a_manager_alone_is_in_a_private_directory(tmp_path: Path) -> None:
    make_manager_key(tmp_path / "manager")
    assert (tmp_path / "manager").stat().st_mode & 0o077 == 0
