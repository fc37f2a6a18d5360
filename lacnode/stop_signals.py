"""Which signals end a process in good order. Knows no event loop."""

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals on which the process ends in good order: SIGINT, SIGTERM and SIGHUP.

    A terminal sends SIGHUP when it closes. SIGHUP is left out if the process was started to ignore it (`nohup`).
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
