"""The lines of a head are counted alike however it is cut into parts."""

import random

import h11
import pytest

from lacnode.http.head_lines import MAX_HEAD_LINES, HeadLineCounter


def refused(parts: list[bytes]) -> bool:
    lines = HeadLineCounter()
    try:
        for part in parts:
            lines.count_lines(part)
    except h11.RemoteProtocolError as error:
        return error.error_status_hint == 431
    return False


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 40)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("count", [MAX_HEAD_LINES, MAX_HEAD_LINES + 1, MAX_HEAD_LINES + 2])
def test_a_head_counts_alike_in_any_parts(end: bytes, count: int) -> None:
    rng = random.Random(count)
    head = (b"POST / HTTP/1.1" + end + (b"a:b" + end) * (count - 1)) + end + b"\n" * 500
    expected = count > MAX_HEAD_LINES + 1
    assert refused([head]) is expected
    assert refused([bytes([byte]) for byte in head]) is expected
    for _ in range(50):
        assert refused(cut(head, rng)) is expected


def test_a_head_without_end_is_refused_at_its_last_line_too_many() -> None:
    lines = HeadLineCounter()
    for _ in range(MAX_HEAD_LINES + 1):
        lines.count_lines(b"a:b\n")
    with pytest.raises(h11.RemoteProtocolError):
        lines.count_lines(b"a:b\n")
