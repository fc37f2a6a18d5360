"""Which signals end a process in good order. Knows no event loop."""

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGINT and SIGTERM; and SIGHUP, which a terminal sends when it closes, unless the process was started to ignore it
    (`nohup`)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
