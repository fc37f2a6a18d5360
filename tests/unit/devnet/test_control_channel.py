"""What a node answers to commands of the coordinator that it does not carry out."""

from functools import partial
from pathlib import Path

import pytest
import trio

from lacnode.devnet.control_channel import ControlError, Document, send_command, serve_control


async def handle(command: str, values: Document) -> Document:
    return {"doubled": 2 * int(values["number"])}


@pytest.mark.parametrize(
    ("values", "told"),
    [({}, "missing: 'number'"), ({"number": "x"}, "invalid literal"), ({"number": None}, "NoneType")],
)
async def test_a_command_with_wrong_values_is_refused_and_the_next_one_is_answered(
    values: Document, told: str, tmp_path: Path
) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_control, tmp_path, handle))
            with pytest.raises(ControlError, match=told):
                await send_command(tmp_path, "double", values, 30.0)
            assert await send_command(tmp_path, "double", {"number": 4}, 30.0) == {"doubled": 8}
            nursery.cancel_scope.cancel()
