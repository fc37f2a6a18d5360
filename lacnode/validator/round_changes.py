"""The number of further rounds that a validator went to, for its metrics. Must not decide which round it is."""


class RoundChangeCounter:
    """Counts how often this validator went to a later round, in `count` since the start. Written on the event loop,
    read by any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._last = (0, 0)

    def record_round(self, height: int, round_: int) -> None:
        """Count a change if `round_` is later than the last recorded round of the same height, or than 0 at another height.
        A jump over several rounds counts as one change.
        """
        last_height, last_round = self._last
        if round_ > (last_round if height == last_height else 0):
            self.count += 1
        self._last = height, round_
