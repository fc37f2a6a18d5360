"""The user's mistakes. The text is Besu's where Besu has one."""


class UsageError(Exception):
    """A mistake that the command prints on standard error. `status` is the exit status: 2 for a mistake in the
    command line itself, 1 for one in the things that it names."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
