"""The project's own rules for names and sentences, applied to every file, and tried on texts that break them."""

import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support import plain_language, public_names
from tests.support.plain_language import Finding

pytestmark = pytest.mark.xdist_group("sources")  # They share the trees of all files.

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [(path.relative_to(ROOT), path.read_text("utf-8")) for path in sorted((ROOT / "lacnode").rglob("*.py"))]
GLOSSARY = Path("docs/developers/words.md")
PAGES = sorted(page.relative_to(ROOT) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
HERE = Path("example.py")


def _report(findings: Iterable[Finding]) -> str:
    return "\n".join(map(str, sorted(findings)))


PACKAGES = sorted({path.parts[1] for path, _ in SOURCES})

CHECKS = (*plain_language.CHECKS, public_names.vague_names)
"""All of them for one file before the next one: reading its comments takes longer than any check."""


@pytest.mark.parametrize("package", PACKAGES)
def test_the_names_and_sentences_of_a_package_follow(package: str) -> None:
    sources = [(path, source) for path, source in SOURCES if path.parts[1] == package]
    report = _report(finding for path, source in sources for check in CHECKS for finding in check(path, source))
    assert sources
    assert not report, f"\n{report}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_sentences_of_a_page_follow(page: Path) -> None:
    text = (ROOT / page).read_text("utf-8")
    report = _report(plain_language.banned_words_in_text(page, text))
    assert not report, f"\n{report}"


def test_the_files_of_the_glossary_exist() -> None:
    rows = [line for line in (ROOT / GLOSSARY).read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    files = [file for row in rows for file in re.findall(r"lacnode/[\w/]+(?:\.py)?", row.split("|")[-2])]
    assert len(files) >= len(rows) > 100
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_public_class_names_are_unique() -> None:
    report = _report(plain_language.repeated_class_names(SOURCES))
    assert not report, f"\n{report}"


def test_public_names_have_a_docstring() -> None:
    report = _report(public_names.undocumented_names(SOURCES))
    assert not report, f"\n{report}"


class TestChecks:
    """A check that finds nothing is worth nothing."""

    @pytest.mark.parametrize(
        ("check", "source"),
        [
            (plain_language.banned_words, '"""Told by nobody."""'),
            (plain_language.banned_words, "size = 1  # whoever asks"),
            (plain_language.banned_words, "log('the peer is let go of now')"),
            (plain_language.joined_sentences, '"""One fact; another."""'),
            (plain_language.exceptions_without_error, "class Refused(Exception): ..."),
            (plain_language.exceptions_without_error, "class A(B): ...\nclass B(ValueError): ..."),
            (plain_language.constants_without_unit, "AGAIN = 2.5"),
            (plain_language.constants_without_unit, "MAX_FILE = 2 * 1024 * 1024"),
            (plain_language.constants_without_unit, "MAX_FILE = 2 << 20"),
            (plain_language.constants_without_unit, "FIRST, ANSWER_TIMEOUT = 1, 5"),
            (public_names.vague_names, "def process(): ..."),
            (public_names.vague_names, "class Queue:\n    async def take(self): ..."),
            (plain_language.undocumented_errors, 'def read():\n    """Read."""\n    raise PathError("no such file")'),
            (
                plain_language.undocumented_errors,
                'class File:\n    def read(self):\n        """Read."""\n        if 1:\n            raise PathError',
            ),
        ],
    )
    def test_finds(self, check: plain_language.Check, source: str) -> None:
        assert list(check(HERE, source))

    @pytest.mark.parametrize(
        ("check", "source"),
        [
            (plain_language.banned_words, '"""The name `desk` is a name."""'),
            (plain_language.banned_words, "nobody = 1"),
            (plain_language.joined_sentences, '"""One fact. Another: `a; b`."""'),
            (plain_language.exceptions_without_error, "class RefusedError(Exception): ...\nclass Other: ..."),
            (plain_language.constants_without_unit, "MAX_PEERS = 25\nRETRY_SECONDS = 2.5\nMAX_FILE_BYTES = 2 << 20"),
            (
                plain_language.undocumented_errors,
                'def read():\n    """Read. PathError if absent."""\n    raise PathError',
            ),
            (public_names.vague_names, "def _take(): ...\ndef process_block(): ..."),
            (plain_language.undocumented_errors, "def _read():\n    raise PathError"),
        ],
    )
    def test_lets_pass(self, check: plain_language.Check, source: str) -> None:
        assert not list(check(HERE, source))

    def test_finds_a_class_name_that_stands_in_two_files(self) -> None:
        sources = [(Path("a.py"), "class Peer: ..."), (Path("b.py"), "class Peer: ...\nclass _Own: ...")]
        assert [finding.path for finding in plain_language.repeated_class_names(sources)] == [Path("b.py")]

    @pytest.mark.parametrize(
        "source",
        ["def read(): ...", "class Peer: ...", "class Peer(Protocol):\n    '''A peer.'''\n    def send(self): ..."],
    )
    def test_finds_a_public_name_without_a_docstring(self, source: str) -> None:
        assert len(list(public_names.undocumented_names([(HERE, source)]))) == 1

    def test_a_method_may_leave_the_docstring_to_an_interface_that_its_class_has_whole(self) -> None:
        interface = "class Store(Protocol):\n    '''S.'''\n    def get(self): '''G.'''\n    def put(self): '''P.'''"
        whole = "class Disk:\n    '''D.'''\n    def get(self): ...\n    def put(self): ..."
        part = "class Cache:\n    '''C.'''\n    def get(self): ..."
        sources = [(HERE, source) for source in (interface, whole, part)]
        assert [finding.sentence for finding in public_names.undocumented_names(sources)] == ["get has no docstring"]

    def test_besus_methods_are_described_by_besu(self) -> None:
        source = "def eth_getLogs(): ...\ndef _own(): ...\ndef checked(): ..."
        path = Path("lacnode/rpc/methods/eth.py")
        assert [finding.line for finding in public_names.undocumented_names([(path, source)])] == [3]

    def test_only_methods_are_described_by_the_program_that_calls_them(self) -> None:
        source = "class Accounts:\n    '''A.'''\n    def get_nonce(self): ...\ndef run(): ..."
        path = Path("lacnode/evm/py_evm_accounts.py")
        assert [finding.line for finding in public_names.undocumented_names([(path, source)])] == [4]

    def test_names_the_line(self) -> None:
        source = dedent('''
            def read():
                """Read.

                Used by somebody.
                """
        ''')
        assert [finding.line for finding in plain_language.banned_words(HERE, source)] == [5]
