"""Precompiled contracts whose work is cut into steps, each well below `budget.CHECK_INTERVAL_SECONDS`."""
