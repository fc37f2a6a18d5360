"""Times of calls, as a scrape reads them again and again."""

from lacnode.rpc.call_statistics import QUANTILES, REMEMBERED_CALLS, CallStatistics


def test_what_was_called_between_two_scrapes_is_in_the_second() -> None:
    statistics = CallStatistics()
    for seconds in (0.5, 1.5):
        statistics.count_call("eth_call", seconds)
    statistics.count_call("eth_chainId", 0.25)
    first = {times.method: times for times in statistics.times()}
    assert (first["eth_call"].count, first["eth_call"].total_seconds, first["eth_call"].quantiles[-1]) == (2, 2.0, 1.5)
    statistics.count_call("eth_call", 4.0)
    second = {times.method: times for times in statistics.times()}
    assert (second["eth_call"].count, second["eth_call"].total_seconds) == (3, 6.0)
    assert second["eth_call"].quantiles[-1] == 4.0
    assert second["eth_chainId"] == first["eth_chainId"]


def test_quantiles_are_of_the_last_calls() -> None:
    statistics = CallStatistics()
    for number in range(3 * REMEMBERED_CALLS):
        statistics.count_call("eth_call", float(number))
        if number % 100 == 0:
            assert statistics.times()[0].quantiles[-1] == number
    assert QUANTILES[1] == 0.5
    assert statistics.times()[0].quantiles[1] == 2.5 * REMEMBERED_CALLS
