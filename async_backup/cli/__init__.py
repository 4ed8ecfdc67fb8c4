"""The command line. Its parts are imported when it runs: packing processes load this module too."""

import sys


def main() -> None:
    """The `async-backup` command."""
    try:
        from async_backup.cli.app import app  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    app()
