"""The runner itself: it must notice every kind of difference, name it, and keep its results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from lacnode.chainspec.forks import Fork
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from tests.conformance import __main__ as runner
from tests.conformance.exceptions import MALFORMED, is_expected
from tests.conformance.execution import Outcome, Verdict, run_state_test
from tests.conformance.fixtures import StateTest, read_state_tests
from tests.conformance.known_differences import KnownDifference
from tests.conformance.report import report
from tests.conformance.results import StateTestResult, read_results, run_file, write_results

KEY = keccak256(b"sender")
SENDER = "0x" + NodeKey.from_private_key(KEY).address.hex()
CONTRACT = "0x" + "c0" * 20
NO_LOGS = "0x" + keccak256(rlp.encode([])).hex()
UNKNOWN_ROOT = "0x" + bytes(32).hex()
ENDLESS = "0x5b600056"


def document(code: str = "0x", **result: Any) -> dict[str, Any]:
    """A file with one test: a transaction to a contract with `code`."""
    expected = {"hash": UNKNOWN_ROOT, "logs": NO_LOGS, "indexes": {"data": 0, "gas": 0, "value": 0}, **result}
    return {
        "example": {
            "env": {
                "currentCoinbase": "0x" + "cb" * 20,
                "currentDifficulty": "0x20000",
                "currentGasLimit": "0x5f5e100",
                "currentNumber": "0x1",
                "currentTimestamp": "0x3e8",
            },
            "pre": {
                SENDER: {"balance": "0xffffffffffff", "nonce": "0x0", "code": "0x", "storage": {}},
                CONTRACT: {"balance": "0x0", "nonce": "0x1", "code": code, "storage": {"0x01": "0x02"}},
            },
            "transaction": {
                "data": ["0x"],
                "gasLimit": ["0x4c4b40"],
                "gasPrice": "0xa",
                "nonce": "0x0",
                "secretKey": "0x" + KEY.hex(),
                "to": CONTRACT,
                "value": ["0x1"],
            },
            "post": {"Byzantium": [expected], "Osaka": [expected]},
        }
    }


def read(tmp_path: Path, **fields: Any) -> StateTest:
    path = tmp_path / "example.json"
    path.write_bytes(orjson.dumps(document(**fields)))
    (test,) = read_state_tests(path)
    return test


def right(test: StateTest) -> StateTest:
    """`test` with the state root that execution gives."""
    reason = run_state_test(test).reason
    return replace(test, state_root=bytes.fromhex(reason.split("0x")[1][:64]))


class TestOneTest:
    def test_of_a_fork_that_we_have_is_read(self, tmp_path: Path) -> None:
        test = read(tmp_path)
        assert (test.name, test.fork) == ("example Byzantium d0g0v0", Fork.BYZANTIUM)

    def test_passes_with_the_right_root_only(self, tmp_path: Path) -> None:
        test = read(tmp_path)
        assert run_state_test(test).verdict is Verdict.FAILED
        assert run_state_test(right(test)) == Outcome(Verdict.PASSED)

    def test_every_part_of_the_state_counts(self, tmp_path: Path) -> None:
        test = right(read(tmp_path))
        sender, contract = test.accounts
        for changed in (
            replace(contract, balance=1),
            replace(contract, nonce=2),
            replace(contract, code=b"\0"),
            replace(contract, storage=((1, 3),)),
        ):
            outcome = run_state_test(replace(test, accounts=(sender, changed)))
            assert "state root" in outcome.reason, changed

    def test_logs_count(self, tmp_path: Path) -> None:
        logs_once = right(read(tmp_path, code="0x60006000a0"))
        assert "hash of the logs" in run_state_test(logs_once).reason

    def test_a_refusal_must_be_the_expected_one(self, tmp_path: Path) -> None:
        poor = read(tmp_path, expectException="TR_NoFunds")
        assert "executed, but TR_NoFunds must refuse it" in run_state_test(poor).reason
        sender, contract = poor.accounts
        refused = replace(poor, accounts=(replace(sender, balance=1), contract))
        assert run_state_test(refused) == Outcome(Verdict.PASSED)
        assert "expected SenderNotEOA" in run_state_test(replace(refused, exception="SenderNotEOA")).reason
        assert "expected execution" in run_state_test(replace(refused, exception=None)).reason

    def test_what_cannot_be_decoded_is_refused(self, tmp_path: Path) -> None:
        test = replace(read(tmp_path), transaction=b"\xc0")
        assert run_state_test(replace(test, exception="TR_RLP_WRONGVALUE")) == Outcome(Verdict.PASSED)
        assert f"refused with {MALFORMED}" in run_state_test(test).reason

    def test_that_runs_too_long_is_stopped(self, tmp_path: Path) -> None:
        test = read(tmp_path, code=ENDLESS)
        assert run_state_test(test, cpu_seconds=0.05).verdict is Verdict.TOO_SLOW

    def test_an_unknown_name_of_an_exception_is_expected_by_none(self) -> None:
        assert not is_expected("NONCE_TOO_LOW", "TransactionException.SOMETHING_NEW")
        assert is_expected("NONCE_TOO_LOW", "TransactionException.A|TransactionException.NONCE_MISMATCH_TOO_LOW")


class TestSuites:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        suite = tmp_path / "suites" / "first" / "stOne"
        suite.mkdir(parents=True)
        (suite / "wrong.json").write_bytes(orjson.dumps(document()))
        return tmp_path / "suites"

    def run(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
        page = folder.parent / "page.md"
        monkeypatch.setattr("sys.argv", ["conformance", str(folder), "--page", str(page), *arguments])
        return runner.main()

    def test_an_unlisted_failure_is_named_and_fails_the_run(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, folder) == 1
        assert "first/stOne/wrong.json example Byzantium d0g0v0: state root" in capsys.readouterr().out
        assert "| stOne | 0/1 |" in (folder.parent / "page.md").read_text()

    def test_a_listed_failure_does_not(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        known = (KnownDifference("first/*", "the test is wrong on purpose"),)
        monkeypatch.setattr("tests.conformance.known_differences.KNOWN_DIFFERENCES", known)
        assert self.run(monkeypatch, folder) == 0
        assert "the test is wrong on purpose" in (folder.parent / "page.md").read_text()

    def test_a_file_that_is_not_json_fails(self, folder: Path) -> None:
        (folder / "broken.json").write_text("{")
        (result,) = run_file(folder, "broken.json", 1)
        assert result.verdict is Verdict.FAILED
        assert "not readable" in result.reason

    def test_a_run_goes_on_where_it_stopped(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = folder / "second" / "right.json"
        other.parent.mkdir()
        other.write_bytes(orjson.dumps({"no": "state test"}))
        kept = folder.parent / "results"
        assert self.run(monkeypatch, folder, "--results", str(kept), "--minutes", "0") == 2
        assert "1 of 2 files are left" in capsys.readouterr().out
        assert self.run(monkeypatch, folder, "--results", str(kept), "--minutes", "0") == 1
        assert len(list(read_results(kept))) == 2

    def test_a_half_written_result_is_run_again(self, tmp_path: Path) -> None:
        kept = tmp_path / "results"
        results = [StateTestResult("a/b.json", "name", "Berlin", Verdict.PASSED, "")]
        with kept.open("w") as out:
            write_results(out, "a/b.json", results)
            out.write('{"file": "a/c.js')
        assert dict(read_results(kept)) == {"a/b.json": results}

    def test_the_page_does_not_depend_on_the_order_of_results(self) -> None:
        results = [
            StateTestResult(f"{suite}/d/{number}.json", f"test {number}", fork, verdict, "because")
            for suite in ("x", "y")
            for number, (fork, verdict) in enumerate(
                [("Berlin", Verdict.PASSED), ("Merge", Verdict.TOO_SLOW), ("Prague", Verdict.FAILED)]
            )
        ]
        page = report(results, EngineKind.PYTHON, 5)
        assert report(results[::-1], EngineKind.PYTHON, 5) == page
        assert "| d | 1 | 0/1 | 0/1 |" in page
        assert "| all | 6 | 2 | 2 | 2 |" in page
        assert "- `x/d/1.json`: 1 test\n" in page

    def test_a_sample_has_as_many_of_each_directory(self) -> None:
        files = [f"{directory}/{number}" for directory in "ab" for number in range(9)]
        assert runner._sample(files, 3) == ["a/0", "a/3", "a/6", "b/0", "b/3", "b/6"]
        assert runner._sample(files, 20) == files
