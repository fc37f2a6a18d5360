"""Where blocking work runs, so that the event loop never waits for the processor or a disk."""
