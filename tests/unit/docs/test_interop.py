"""The page about other programs names the command of every interop test, and no test that does not exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "spec" / "interop.md").read_text("utf-8")


def test_the_page_names_every_file_of_tests_and_no_other() -> None:
    named = set(re.findall(r"pytest (tests/interop/test_\w+\.py)", PAGE))
    assert named == {str(file.relative_to(ROOT)) for file in (ROOT / "tests" / "interop").glob("test_*.py")}


def test_each_choice_of_a_command_chooses_a_test() -> None:
    for file, word in re.findall(r"pytest (tests/interop/test_\w+\.py) -k (\w+)", PAGE):
        assert re.search(rf"^def test_\w*{word}", (ROOT / file).read_text("utf-8"), re.MULTILINE), (file, word)
