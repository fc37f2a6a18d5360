"""Random requests for GraphQL, WebSocket and the IPC socket: each is answered or ended, and other clients are answered."""

from pathlib import Path

from tests.support.api_fuzz import fuzz

SEED, ROUNDS = 25_5_0, 60


async def test_no_request_troubles_a_port(tmp_path: Path) -> None:
    await fuzz(ROUNDS, SEED, tmp_path)
