"""`python -m lacnode`, the same as `lacnode`."""

from lacnode.cli.main import entry_point

entry_point()
