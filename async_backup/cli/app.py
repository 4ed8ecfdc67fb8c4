"""The Typer application: commands and what is common to them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from async_backup.cli.bench import bench
from async_backup.cli.config import config
from async_backup.cli.demo import demo
from async_backup.cli.doctor import doctor
from async_backup.cli.init import init
from async_backup.cli.list import list_
from async_backup.cli.ls import ls
from async_backup.cli.profile_command import Configured, Connecting
from async_backup.cli.prune import prune
from async_backup.cli.restore import restore
from async_backup.cli.run import run
from async_backup.cli.schedule import schedule
from async_backup.cli.verify import verify

app = typer.Typer(
    name="async-backup",
    help="Back up many directories to any SSH server: plain .tar.gz archives, verified before they count.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Configured)(run)
app.command(cls=Connecting)(restore)
app.command("list", cls=Connecting)(list_)
app.command(cls=Connecting)(ls)
app.command(cls=Configured)(prune)
app.command(cls=Configured)(verify)
app.command(cls=Connecting)(doctor)
app.command()(bench)
app.add_typer(schedule, name="schedule")
app.add_typer(config, name="config")
app.command()(init)
app.command()(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"async-backup {version('async-backup')}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Back up many directories to any SSH server: plain .tar.gz archives, verified before they count.

    Exit codes: 0 all committed; 1 nothing could be done; 2 wrong usage or settings; 3 some entries or files were
    not backed up; 4 another run of the same is under way; 130 interrupted.
    """
    del show_version
