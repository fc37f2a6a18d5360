"""The alert rules as Prometheus itself reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).resolve().parents[3] / "docker" / "grafana" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is not installed: it comes with Prometheus, in Debian with the package prometheus",
)


def _checked(rules: Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, "check", "rules", rules], capture_output=True, text=True, timeout=60)


def test_prometheus_takes_the_rules() -> None:
    checked = _checked(RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{RULES.read_text('utf-8').count('alert:')} rules found" in checked.stdout


def test_a_wrong_expression_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "alerts.yaml"
    wrong.write_text(RULES.read_text("utf-8").replace("expr: ", "expr: ((", 1))
    assert _checked(wrong).returncode != 0
