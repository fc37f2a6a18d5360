"""The program that compares our options with Besu's sources finds names however they are declared."""

import subprocess
from pathlib import Path

import pytest

from tools.compare_options import EVERY_OPTION, SourceError, main, option_spans, written

DECLARED = """\
class Options {
  private static final String FLAG = "--Xours-by-" + "constant";
  @Option(names = {"--p2p-port"}, arity = "1")
  @CommandLine.Option(
      names = {FLAG, "--Xours-alias"},
      description = "a word (with brackets)")
  @Option(names = Options.FLAG)
}
"""


def git(repository: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True)


def release(
    repository: Path,
    tag: str,
    text: str,
    place: str = "besu/src/main/java/cli/Options.java",
    every_option: str = "p2p-port=1",
) -> None:
    tested = repository / EVERY_OPTION
    tested.parent.mkdir(parents=True, exist_ok=True)
    tested.write_text(every_option + "\n")
    file = repository / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "--allow-empty", "-m", tag)
    git(repository, "tag", tag)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def test_names_are_found_with_their_first_and_last_release(repository: Path) -> None:
    release(repository, "21.7.4", DECLARED)
    release(repository, "24.1.0-RC1", DECLARED.replace("p2p-port", "of-a-candidate"))
    release(repository, "25.5.0", DECLARED.replace("Xours-alias", "Xours-other"))
    release(repository, "25.6.0", DECLARED.replace("p2p-port", "too-late"))
    assert written(option_spans(repository / ".git")) == (
        "Xours-alias 21.7.4 21.7.4\nXours-by-constant 21.7.4 25.5.0\nXours-other 25.5.0 25.5.0\np2p-port 21.7.4 25.5.0\n"
    )


def test_unknown_names_are_printed_and_end_with_1(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release(repository, "23.4.1", DECLARED)
    assert main([str(repository / ".git")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("3 names, 2 unknown\nXours-alias 23.4.1 23.4.1\n")
    assert "p2p-port" not in said


def test_options_of_sub_commands_are_not_the_nodes(repository: Path) -> None:
    release(repository, "23.4.1", DECLARED, "besu/src/main/java/cli/subcommands/Sub.java")
    assert option_spans(repository / ".git") == {}


def test_a_constant_that_is_not_there_is_an_error(repository: Path) -> None:
    release(repository, "23.4.1", "@Option(names = {ELSEWHERE})")
    with pytest.raises(SourceError, match="ELSEWHERE"):
        option_spans(repository / ".git")


def test_values_that_we_would_not_take_are_printed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release(repository, "23.4.1", '@Option(names = "--p2p-port")')
    assert main([str(repository / ".git")]) == 0
    release(repository, "24.1.0", '@Option(names = "--p2p-port")', every_option='p2p-port="x"\nidentity="a"')
    assert main([str(repository / ".git")]) == 1
    assert capsys.readouterr().out.endswith("\n24.1.0: Invalid value for option '--p2p-port': 'x' is not an int\n")
