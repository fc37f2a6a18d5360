"""What the user got wrong. The text is Besu's where Besu has one."""


class UsageError(Exception):
    """Printed on stderr; `status` is the exit status: 2 for the command line itself, 1 for what it leads to."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
