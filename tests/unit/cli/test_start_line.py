"""What an operator is told at once."""

import io
import json
import subprocess
import sys

import pytest

from lacnode.cli.sources import collect_settings
from lacnode.cli.start_line import find_java_variables, log_start_line

Output = pytest.CaptureFixture[str]


def test_the_first_line_comes_before_anything_heavy_is_loaded() -> None:
    program = (
        "import sys\nfrom lacnode.cli import main\n"
        "def look(settings):\n"
        "    heavy = {'eth', 'trio', 'pydantic', 'structlog', 'coincurve', 'lmdb'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {heavy}' if heavy else 7)\n"
        "main.log_start_line = look\nmain.main(['--genesis-file=none'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize(("level", "count"), [("INFO", 1), ("debug", 1), ("WARN", 0), ("OFF", 0), ("FATAL", 0)])
def test_the_first_line_is_one_of_the_log(level: str, count: int, capsys: Output) -> None:
    log_start_line(collect_settings({"logging": level}, {}))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count
    assert all(line.count(" | ") == 3 and line.endswith(" starts") for line in lines)


def test_an_output_that_takes_nothing_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    log_start_line(collect_settings({}, {}))


def test_variables_of_java_are_said_to_be_without_effect() -> None:
    assert [*find_java_variables({"PATH": "/bin", "LOG4J_CONFIGURATION_FILE": ""})] == []
    (text,) = find_java_variables({"LOG4J_CONFIGURATION_FILE": "/root/log.xml"})
    assert "LOG4J_CONFIGURATION_FILE has no effect" in text
    assert "--logging" in text
    assert len([*find_java_variables({"BESU_OPTS": "-Xmx4g", "JAVA_OPTS": "-Xmx4g"})]) == 2


def test_the_first_line_is_json_where_the_log_is(capsys: pytest.CaptureFixture[str]) -> None:
    log_start_line(collect_settings({"logging-format": "JSON"}, {}))
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert set(event) == {"timestamp", "level", "logger", "message"}
    assert event["message"].startswith("lacnode ")
