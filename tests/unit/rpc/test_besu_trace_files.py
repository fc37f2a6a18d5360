"""Besu's own specification files of TRACE over its own chain: request and answer, as they are."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lacnode.rpc.errors import RpcError
from lacnode.rpc.methods.trace import TRACE_METHODS
from lacnode.rpc.read_calls import ReadCall, ReadContext
from lacnode.rpc.settings import ApiSettings
from tests.support.trace_chain import trace_chain, trace_data

RELEASES = ("24.1.0", "25.5.0")

METHODS = {method.name: method for method in TRACE_METHODS}

FOLDERS = sorted(
    {
        (release, str(path.parent.relative_to(trace_data(release).parent)))
        for release in RELEASES
        for path in (trace_data(release) / "specs").rglob("*.json")
    }
)

NONCE = "25.5.0 counts the nonce of a call, 24.1.0 ignores it and has files with nonces that were used"
MESSAGE = "25.5.0 has a message for each kind of wrong parameter"

OLDER = {
    "trace_replayBlockTransactions_invalidBlockParam.json": MESSAGE,
    "trace_replayBlockTransactions_invalidTraceOptions.json": MESSAGE,
    "trace_callMany_14_trace.json": "25.5.0 shows that the address of a creation was taken as an illegal state change",
}
"""Files of 24.1.0 to which 25.5.0 has another answer; this node follows 25.5.0."""

OLDER_FOLDERS = {"trace/specs/trace-call": NONCE, "trace/specs/trace-raw-transaction": NONCE}
"""Folders of 24.1.0 of which this holds for every file."""

pytestmark = pytest.mark.skipif(not FOLDERS, reason="Besu's specification files (shared/data/besu-rpc) are not here")


def answered(release: str, request: Mapping[str, Any]) -> dict[str, Any]:
    chain = trace_chain(release)
    reading = ReadContext(chain, ApiSettings(), time.monotonic() + 60)
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        call = METHODS[request["method"]].handler(_holder(chain), request["params"])
        assert isinstance(call, ReadCall)
        answer["result"] = json.loads(json.dumps(call.answer(reading)))
    except RpcError as error:
        answer["error"] = {"code": error.code, "message": error.message}
    return answer


def _holder(chain: object) -> Any:
    return type("Holder", (), {"chain": chain})()


def equal(release: str, path: Path) -> bool:
    """Whether the answer is the file's. Some files have a list of requests."""
    file = json.loads(path.read_text())
    request = file["request"]
    answer: object
    if isinstance(request, list):
        answer = [answered(release, each) for each in request]
    else:
        answer = answered(release, request)
    return bool(answer == file["response"])


def is_older(release: str, path: Path) -> bool:
    folder = str(path.parent.relative_to(trace_data(release).parent))
    return release == "24.1.0" and (path.name in OLDER or folder in OLDER_FOLDERS)


@pytest.mark.parametrize(("release", "folder"), FOLDERS, ids=["-".join(pair) for pair in FOLDERS])
def test_the_files_of_a_folder_get_their_answers(release: str, folder: str) -> None:
    paths = sorted((trace_data(release).parent / folder).glob("*.json"))
    assert paths
    differing = [path.name for path in paths if not equal(release, path)]
    assert differing == [path.name for path in paths if is_older(release, path)]
