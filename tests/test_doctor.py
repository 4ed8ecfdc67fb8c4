"""The doctor finds out what a server can do, says so step by step, and leaves it as it was."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import Event

from async_backup.config import Destination, Limits
from async_backup.doctor import speed
from async_backup.doctor.model import State, Step
from async_backup.errors import ExitCode, SettingsError
from async_backup.remote import digest_lines
from tests.conftest import need_sshd
from tests.examinations import FEW, Diary, examined, found, states, tree
from tests.proxy import Cut, FaultProxy
from tests.stores import calm_sshd, login, on_sshd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backup.doctor.model import DoctorReport
    from tests.sshd import Sshd

pytestmark = pytest.mark.anyio

ORDER: list[Step] = [step for step in Step if step is not Step.CLEANUP]
NO_SHELL = {Step.SHELL: State.WARNING, Step.DIGEST: State.SKIPPED, Step.PATHS: State.SKIPPED}


@pytest.fixture(autouse=True)
def little_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is measured with a few blocks."""
    monkeypatch.setattr(speed, "_MOST", 2 << 20)


def all_ok(**but: State) -> dict[Step, State]:
    return dict.fromkeys(ORDER, State.OK) | {Step[name]: state for name, state in but.items()}


def blocked_from(step: Step) -> dict[Step, State]:
    """Everything is well before the step, which failed; nothing behind it was tried."""
    place = ORDER.index(step)
    behind = dict.fromkeys(ORDER[place + 1 :], State.SKIPPED)
    return dict.fromkeys(ORDER[:place], State.OK) | {step: State.FAILED} | behind


async def on_server(base: Path, options: Sequence[str], *, dest: str = "", limits: Limits = FEW) -> DoctorReport:
    """An examination of a server with `options`; nothing may be left on it."""
    need_sshd()
    with calm_sshd(base, options=options) as server:
        before = tree(server.directory)
        report = await examined(on_sshd(server, server.directory / dest), login(server), limits)
        assert tree(server.directory) == before
    return report


async def test_a_server_that_can_everything_is_ready_and_left_as_it_was(sshd: Sshd) -> None:
    (sshd.directory / "d1").mkdir()
    (sshd.directory / "d1" / "foreign").write_bytes(b"foreign")
    report = await examined(on_sshd(sshd, sshd.directory / "d1"), login(sshd))
    assert states(report) == all_ok()
    assert [finding.step for finding in report.findings] == ORDER
    assert report.exit_code is ExitCode.COMPLETE
    assert tree(sshd.directory / "d1") == {"foreign": b"foreign"}


async def test_what_was_learnt_is_in_the_report(sshd: Sshd) -> None:
    (sshd.directory / "d2").mkdir()
    learnt = (await examined(on_sshd(sshd, sshd.directory / "d2"), login(sshd))).learnt
    assert "OpenSSH" in learnt.server
    assert (learnt.verification, learnt.digest_command) == ("md5sum", "md5sum")
    assert (learnt.connections, learnt.channels) == (2, 2)
    assert learnt.clock_difference == 0
    assert all(value and value > 0 for value in (learnt.free, learnt.round_trip, learnt.upload, learnt.download))


async def test_host_key_and_user_key_are_named_by_their_fingerprints(sshd: Sshd) -> None:
    report = await examined(on_sshd(sshd, sshd.directory), login(sshd))
    for key, step in ((sshd.host_key, Step.HOST_KEY), (sshd.key, Step.AUTHENTICATION)):
        listed = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout
        assert listed.split()[1] in found(report, step).found
    assert sshd.user in found(report, Step.AUTHENTICATION).found


async def test_a_destination_that_is_not_there_is_made_and_removed_again(sshd: Sshd) -> None:
    report = await examined(on_sshd(sshd, sshd.directory / "new" / "deep"), login(sshd))
    assert states(report) == all_ok()
    assert "does not exist, but can be made" in found(report, Step.WRITING).found
    assert not (sshd.directory / "new").exists()


async def test_a_destination_below_the_home_directory(sshd: Sshd) -> None:
    destination = replace(on_sshd(sshd, sshd.directory), directory=b"doctors-orders")
    report = await examined(destination, login(sshd))
    assert states(report) == all_ok()


@pytest.mark.parametrize(
    "options",
    [
        ["ForceCommand internal-sftp"],
        ["ForceCommand /usr/lib/openssh/sftp-server"],
        ["MaxSessions 1"],
    ],
    ids=["internal-sftp", "sftp-server", "one session"],
)
async def test_an_account_without_shell_costs_reading_back_and_nothing_more(tmp_path: Path, options: list[str]) -> None:
    report = await on_server(tmp_path, options, limits=replace(FEW, channels=1))
    assert states(report) == all_ok() | NO_SHELL
    assert report.learnt.verification == "readback"
    assert report.exit_code is ExitCode.COMPLETE


async def test_commands_that_see_other_paths_cost_reading_back(tmp_path: Path) -> None:
    need_sshd()
    sftp, elsewhere = tmp_path / "sftp", tmp_path / "elsewhere"
    elsewhere.mkdir()
    mount = f"mount --bind {elsewhere} {tmp_path / 'sshd' / 'backups'}"
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can show SFTP another directory than the shell")
    sftp.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{mount} && exec /usr/lib/openssh/sftp-server'\n")
    sftp.chmod(0o755)
    report = await on_server(tmp_path, [f"Subsystem sftp {sftp}"])
    assert states(report) == all_ok(PATHS=State.WARNING)
    assert report.learnt.verification == "readback"
    assert tree(elsewhere) == {}


async def test_the_volume_of_a_nas_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sshd()
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can show SFTP another directory than the shell")
    volume = tmp_path / "volume1"
    share = Path(f"{volume}{tmp_path}") / "sshd" / "backups"
    share.mkdir(parents=True)
    monkeypatch.setattr(digest_lines, "_VOLUMES", os.fsencode(tmp_path) + b"/volume[0-9]*")
    monkeypatch.setattr(digest_lines, "_VOLUME", re.compile(re.escape(os.fsencode(tmp_path)) + b"/volume[0-9]"))
    sftp = tmp_path / "sftp"
    mount = f"mount --bind {share} {tmp_path / 'sshd' / 'backups'}"
    sftp.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{mount} && exec /usr/lib/openssh/sftp-server'\n")
    sftp.chmod(0o755)
    report = await on_server(tmp_path, [f"Subsystem sftp {sftp}"])
    assert states(report) == all_ok()
    assert str(volume) in found(report, Step.PATHS).found
    assert report.learnt.verification == "md5sum"
    assert tree(share) == {}


async def test_without_sftp_there_is_no_backup(tmp_path: Path) -> None:
    report = await on_server(tmp_path, ["Subsystem other /bin/false"])
    assert states(report) == blocked_from(Step.SFTP)
    assert "Subsystem sftp" in found(report, Step.SFTP).advice
    assert report.exit_code is ExitCode.NOTHING_DONE


async def test_fewer_sessions_than_asked_for_are_counted(tmp_path: Path) -> None:
    report = await on_server(tmp_path, ["MaxSessions 3"], limits=Limits(connections=2, channels=4))
    assert states(report) == all_ok(SESSIONS=State.WARNING)
    assert (report.learnt.connections, report.learnt.channels) == (2, 2)
    assert "MaxSessions" in found(report, Step.SESSIONS).advice


async def test_start_up_files_that_print_do_no_harm(tmp_path: Path) -> None:
    need_sshd()
    with calm_sshd(tmp_path) as server:
        (tmp_path / "home" / ".bashrc").write_text("echo Welcome, '\x1b[31m'stranger\n")
        report = await examined(on_sshd(server, server.directory), login(server))
    if "Welcome" not in found(report, Step.SHELL).found:
        pytest.skip("the login shell here reads no .bashrc")
    assert states(report) == all_ok()


@pytest.mark.parametrize("dest", ["", "new/deep"])
async def test_a_server_that_takes_no_files_says_so_and_leaves_nothing(tmp_path: Path, dest: str) -> None:
    report = await on_server(tmp_path, ["Subsystem sftp internal-sftp -R"], dest=dest)
    expected = all_ok(WRITING=State.FAILED, PATHS=State.SKIPPED, EXTENSIONS=State.WARNING)  # it cannot flush either
    expected |= dict.fromkeys((Step.OVERWRITING, Step.CLOCK, Step.RATE), State.SKIPPED)
    if dest:
        expected[Step.SPACE] = State.SKIPPED
    assert states(report) == expected
    assert "permission denied" in found(report, Step.WRITING).found
    assert report.exit_code is ExitCode.NOTHING_DONE
    assert report.leftovers == ()


async def test_a_file_in_the_place_of_the_destination_stays(sshd: Sshd) -> None:
    (sshd.directory / "taken").write_bytes(b"mine")
    report = await examined(on_sshd(sshd, sshd.directory / "taken"), login(sshd))
    assert states(report)[Step.WRITING] is State.FAILED
    assert "not a directory" in found(report, Step.WRITING).found
    assert (sshd.directory / "taken").read_bytes() == b"mine"


async def test_an_account_that_may_only_upload_is_left_with_one_small_file_that_is_named(tmp_path: Path) -> None:
    need_sshd()
    with calm_sshd(tmp_path, options=["Subsystem sftp internal-sftp -P remove,rmdir,setstat"]) as server:
        report = await examined(on_sshd(server, server.directory), login(server))
        left = tree(server.directory)
    assert states(report)[Step.WRITING] is State.WARNING
    assert states(report)[Step.RATE] is State.SKIPPED
    assert [os.path.basename(name) for name in report.leftovers] == [os.fsencode(name) for name in left]
    assert len(left) == 1
    assert found(report, Step.CLEANUP).state is State.WARNING
    assert report.exit_code is ExitCode.COMPLETE


async def test_a_name_that_does_not_resolve(sshd: Sshd) -> None:
    destination = replace(on_sshd(sshd, sshd.directory), host="no-such-host.invalid")
    report = await examined(destination, login(sshd))
    assert states(report) == blocked_from(Step.RESOLUTION)
    assert "no-such-host.invalid cannot be resolved" in found(report, Step.RESOLUTION).found
    assert report.exit_code is ExitCode.NOTHING_DONE


async def test_nobody_listens(sshd: Sshd, free_tcp_port: int) -> None:
    report = await examined(on_sshd(sshd, sshd.directory, port=free_tcp_port), login(sshd))
    assert states(report) == blocked_from(Step.TCP)
    assert "refused" in found(report, Step.TCP).found


async def test_something_else_than_ssh_listens(sshd: Sshd) -> None:
    import asyncio

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        report = await examined(on_sshd(sshd, sshd.directory, port=port), login(sshd))
    assert states(report) == blocked_from(Step.TCP)
    assert "220 mail.example ESMTP" in found(report, Step.TCP).found


async def test_an_unknown_host_key_is_shown_with_the_line_that_adds_it(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    ssh = replace(login(sshd), known_hosts=tmp_path / "known")
    report = await examined(on_sshd(sshd, sshd.directory), ssh)
    assert states(report) == blocked_from(Step.HOST_KEY)
    finding = found(report, Step.HOST_KEY)
    command = f"ssh-keyscan -p {sshd.port} {sshd.host} >> {tmp_path / 'known'}"
    assert finding.advice.splitlines()[1] == command
    assert "SHA256:" in finding.found
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
    assert (await examined(on_sshd(sshd, sshd.directory), ssh)).exit_code is ExitCode.COMPLETE


async def test_a_changed_host_key_is_no_case_for_ssh_keyscan(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"* {sshd.key.with_suffix('.pub').read_text()}")
    report = await examined(on_sshd(sshd, sshd.directory), replace(login(sshd), known_hosts=tmp_path / "known"))
    assert states(report) == blocked_from(Step.HOST_KEY)
    assert "CHANGED" in found(report, Step.HOST_KEY).found
    assert "ssh-keyscan" not in found(report, Step.HOST_KEY).advice


def new_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path


async def test_a_key_that_the_server_does_not_take(sshd: Sshd, tmp_path: Path) -> None:
    ssh = replace(login(sshd), keys=(new_key(tmp_path / "other"),))
    report = await examined(on_sshd(sshd, sshd.directory), ssh)
    assert states(report) == blocked_from(Step.AUTHENTICATION)
    assert "publickey" in found(report, Step.AUTHENTICATION).meaning
    assert "SHA256:" in found(report, Step.AUTHENTICATION).meaning


async def test_a_key_that_nobody_decrypts_fails_where_it_is_needed(sshd: Sshd, tmp_path: Path) -> None:
    ssh = replace(login(sshd), keys=(new_key(tmp_path / "locked", "secret"),))
    report = await examined(on_sshd(sshd, sshd.directory), ssh)
    assert states(report) == blocked_from(Step.AUTHENTICATION)
    assert "encrypted" in found(report, Step.AUTHENTICATION).found


async def test_a_key_that_is_not_there_is_wrong_usage(sshd: Sshd, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        await examined(on_sshd(sshd, sshd.directory), replace(login(sshd), keys=(tmp_path / "none",)))


async def test_aliases_and_jump_hosts_of_ssh_config(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = login(sshd).known_hosts
    config = tmp_path / "config"
    config.write_text(
        f"Host nas jump\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {known_hosts}\n"
        "Host nas\n  ProxyJump jump\n"
    )
    ssh = replace(login(sshd), keys=(), known_hosts=None, ssh_config=config)
    report = await examined(Destination("nas", os.fsencode(sshd.directory)), ssh)
    assert states(report) == all_ok()
    assert "the jump host jump (127.0.0.1)" in found(report, Step.RESOLUTION).found
    assert "the jump host jump (127.0.0.1); nas is reached through it" in found(report, Step.TCP).meaning


async def test_a_jump_host_whose_key_is_unknown_is_told_from_the_server(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    config = tmp_path / "config"
    config.write_text(
        f"Host jump\n  HostName localhost\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {tmp_path / 'known'}\n"
        f"Host {sshd.host}\n  ProxyJump jump\n"
    )
    report = await examined(on_sshd(sshd, sshd.directory), replace(login(sshd), ssh_config=config))
    assert states(report) == blocked_from(Step.HOST_KEY)
    assert "the jump host's key" in found(report, Step.HOST_KEY).found


@pytest.mark.parametrize("until", [Step.TCP, Step.SFTP, Step.PATHS, Step.WRITING, Step.SESSIONS, Step.RATE])
async def test_an_examination_that_is_stopped_leaves_nothing(sshd: Sshd, until: Step) -> None:
    stop = Event()
    report = await examined(
        on_sshd(sshd, sshd.directory / "stopped" / "below"), login(sshd), diary=Diary(stop, until), stop=stop
    )
    assert report.exit_code is ExitCode.INTERRUPTED
    assert ORDER[len(report.findings)] is until
    assert not (sshd.directory / "stopped").exists()


async def test_what_a_lost_connection_left_is_removed_over_a_new_one(sshd: Sshd) -> None:
    (sshd.directory / "cut").mkdir()
    async with FaultProxy(sshd.port) as proxy:
        diary = Diary()

        def cut_the_rate(event: object) -> None:
            diary(event)  # type: ignore[arg-type]
            if getattr(event, "step", None) is Step.CLOCK:
                proxy.fault = Cut(after=400_000)
            if getattr(event, "step", None) is Step.RATE and hasattr(event, "found"):
                proxy.fault = None

        from async_backup.doctor.examine import examine
        from async_backup.doctor.model import DoctorSettings

        where = on_sshd(sshd, sshd.directory / "cut", port=proxy.port)
        report = await examine(DoctorSettings(where, login(sshd), FEW), cut_the_rate)
        assert proxy.fired
    assert states(report) == all_ok(RATE=State.FAILED)
    assert report.exit_code is ExitCode.INCOMPLETE
    assert tree(sshd.directory / "cut") == {}


async def test_a_far_server_is_told_by_its_round_trip(sshd: Sshd) -> None:
    async with FaultProxy(sshd.port) as proxy:
        proxy.delay = 0.06
        limits = Limits(connections=1, channels=1)
        report = await examined(on_sshd(sshd, sshd.directory, port=proxy.port), login(sshd), limits)
    assert report.learnt.round_trip is not None
    assert report.learnt.round_trip >= 0.12
    assert states(report)[Step.ROUND_TRIP] is State.WARNING
    assert "--connections" in found(report, Step.ROUND_TRIP).advice
