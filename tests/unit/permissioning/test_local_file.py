"""The file of the local lists: what it must be, and what a write leaves of it."""

import os
import stat
from pathlib import Path

import pytest

from lacnode.permissioning import permissions_file
from lacnode.permissioning.permissions_file import AllowlistKind, PermissionsFileError, read_entries, write_entries

ACCOUNT = "0x" + "ab" * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "permissions_config.toml"


def refusal(path: Path, kind: AllowlistKind = AllowlistKind.ACCOUNTS) -> str:
    with pytest.raises(PermissionsFileError) as error:
        read_entries(path, kind)
    return str(error.value)


class TestReading:
    def test_takes_the_new_key_before_the_old(self, path: Path) -> None:
        path.write_text('accounts-whitelist=["old"]\naccounts-allowlist=["new"]\nnodes-whitelist=["b", "a"]\n')
        assert read_entries(path, AllowlistKind.ACCOUNTS) == ("new",)
        assert read_entries(path, AllowlistKind.NODES) == ("b", "a")

    def test_an_empty_list_is_a_list(self, path: Path) -> None:
        path.write_text("accounts-allowlist=[]")
        assert read_entries(path, AllowlistKind.ACCOUNTS) == ()

    def test_says_which_key_is_missing(self, path: Path) -> None:
        path.write_text("nodes-allowlist=[]")
        assert refusal(path) == f"accounts-allowlist config option missing in TOML config file {path}"

    @pytest.mark.parametrize(
        ("content", "detail"),
        [
            (b"", "Empty TOML result: "),
            (b"# nobody\n", "Empty TOML result: # nobody"),
            (b'accounts-allowlist=["0x12', "Invalid TOML configuration: \n"),
            (b"accounts-allowlist=" + b"[" * 20_000, "Invalid TOML configuration: \n"),
            (b"accounts-allowlist=[]\n#\xff", "the file is not UTF-8 text: byte 23 is wrong"),
            (b"#" * (permissions_file.MAX_PERMISSIONS_FILE_BYTES + 1), "the file is larger than"),
        ],
        ids=["empty", "comment", "half-written", "nested", "not UTF-8", "huge"],
    )
    def test_refuses_what_is_no_document(self, path: Path, content: bytes, detail: str) -> None:
        path.write_bytes(content)
        assert refusal(path).startswith(f"Unable to read permissioning TOML config file : {path} {detail}")

    def test_refuses_what_is_no_file(self, path: Path) -> None:
        prefix = f"Unable to read permissioning TOML config file : {path} "
        assert refusal(path) == f"{prefix}Configuration file does not exist: {path}"
        path.mkdir()
        assert refusal(path) == f"{prefix}a file was expected, found a directory"
        path.rmdir()
        os.mkfifo(path)
        assert refusal(path) == f"{prefix}a file was expected, found a device or pipe"

    def test_says_that_it_may_not_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text("accounts-allowlist=[]")

        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
        assert refusal(path).endswith(f"Read access denied for file at: {path}")


class TestWriting:
    def test_has_besus_layout(self, path: Path) -> None:
        path.write_text('# a comment\nother=1\naccounts-allowlist=[\n "a",\n]\nnodes-allowlist=["n", "m"]\n')
        write_entries(path, AllowlistKind.ACCOUNTS, ["a", "b"])
        assert path.read_bytes() == b'nodes-allowlist=["n","m"]\naccounts-allowlist=["a","b"]'
        write_entries(path, AllowlistKind.NODES, [])
        assert path.read_bytes() == b'accounts-allowlist=["a","b"]\nnodes-allowlist=[]'

    def test_keeps_the_other_list_under_its_new_name(self, path: Path) -> None:
        path.write_text('nodes-whitelist=["n\\"\\\\"]\naccounts-whitelist=[]')
        write_entries(path, AllowlistKind.ACCOUNTS, [ACCOUNT])
        assert read_entries(path, AllowlistKind.NODES) == ('n"\\',)
        assert read_entries(path, AllowlistKind.ACCOUNTS) == (ACCOUNT,)

    def test_follows_links_keeps_the_mode_and_leaves_nothing_beside(self, path: Path, tmp_path: Path) -> None:
        real = tmp_path / "real.toml"
        real.write_text("accounts-allowlist=[]")
        real.chmod(0o640)
        path.symlink_to(real)
        write_entries(path, AllowlistKind.ACCOUNTS, [ACCOUNT])
        assert path.is_symlink()
        assert read_entries(real, AllowlistKind.ACCOUNTS) == (ACCOUNT,)
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
        assert sorted(tmp_path.iterdir()) == [path, real]

    def test_leaves_the_file_whole_when_the_disk_fails(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text("accounts-allowlist=[]")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("lacnode.permissioning.permissions_file.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_entries(path, AllowlistKind.ACCOUNTS, [ACCOUNT])
        assert path.read_text() == "accounts-allowlist=[]"
        assert list(path.parent.iterdir()) == [path]

    def test_a_file_that_cannot_be_replaced_is_written_in_place(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: object) -> None:
            raise OSError(16, "Device or resource busy")

        path.write_text(f'accounts-allowlist=["{ACCOUNT}"] # and a long comment')
        monkeypatch.setattr(Path, "replace", busy)
        write_entries(path, AllowlistKind.ACCOUNTS, [])
        assert path.read_text() == "accounts-allowlist=[]"
        assert list(path.parent.iterdir()) == [path]

    def test_never_writes_what_it_could_not_read_again(self, path: Path) -> None:
        path.write_text("accounts-allowlist=[]")
        with pytest.raises(OSError, match="more than"):
            write_entries(path, AllowlistKind.ACCOUNTS, ["x" * permissions_file.MAX_PERMISSIONS_FILE_BYTES])
        assert path.read_text() == "accounts-allowlist=[]"
