"""The command line. Its parts are imported when it runs: packing processes load this module too."""

import sys


def main() -> None:
    """The `async-backup` command."""
    try:
        from async_backup.cli.app import app  # noqa: PLC0415
        from async_backup.cli.output import OutputLost, complain  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    except OutputLost as error:
        complain(f"error: {error}")
        sys.exit(error.exit_code)
