"""What a caller can make a reader process log: one traceback a minute, however often its calls fail."""

from lacnode.rpc.readers import reader_main
from tests.support.logs import captured_logs


def test_calls_that_fail_unexpectedly_are_logged_once_a_minute() -> None:
    with captured_logs() as logged:
        for _ in range(100):
            try:
                raise MemoryError
            except MemoryError as error:
                reader_main._failed(error)
    assert len(logged) <= 1
