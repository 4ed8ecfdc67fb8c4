"""The command line. Its parts are imported when it runs: packing processes load this module too."""


def main() -> None:
    """The `async-backup` command."""
    from async_backup.cli.app import app  # noqa: PLC0415

    app()
