"""What goes wrong with servers, keys and settings gets one sentence that says what to do, and the right exit code."""

from __future__ import annotations

import os
import pty
import select
import shlex
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.command import PROGRAM, backup_command, environment, finished, login
from tests.conftest import need_sshd
from tests.sshd import running_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sshd import Sshd

CTRL_C = "\x03"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "entry").write_text("content")
    return directory


def new_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def run_with(server: Sshd, source: Path, *, key: Path | None = None, known_hosts: Path | None = None) -> list[str]:
    ssh = ["--key", str(key or server.key), "--known-hosts", str(known_hosts or server.known_hosts)]
    target = server.destination(server.directory / source.parent.name)  # two runs may begin in the same second
    return [*PROGRAM, "run", str(source), "--to", target, *ssh, "--ssh-config", os.devnull]


def test_an_unknown_host_key_shows_its_fingerprint_and_how_to_add_it(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.touch()
    done = finished(run_with(sshd, source, known_hosts=known_hosts))
    shown = subprocess.run(["ssh-keygen", "-lf", f"{sshd.host_key}.pub"], capture_output=True, text=True, check=True)
    assert done.returncode == 1
    assert "the host key is unknown" in done.stderr
    assert shown.stdout.split()[1] in done.stderr
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> {known_hosts}" in done.stderr


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_host_key_is_called_by_its_name(sshd: Sshd, source: Path, tmp_path: Path, kind: str) -> None:
    other = new_key(tmp_path / "other", kind=kind).with_suffix(".pub").read_text()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    done = finished(run_with(sshd, source, known_hosts=known_hosts))
    assert done.returncode == 1
    assert "HOST KEY HAS CHANGED" in done.stderr
    assert "ssh-keygen" in done.stderr


def test_a_revoked_host_key_is_refused(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"@revoked * {sshd.host_key.with_suffix('.pub').read_text()}")
    done = finished(run_with(sshd, source, known_hosts=known_hosts))
    assert done.returncode == 1
    assert "revoked" in done.stderr


def test_switching_the_check_off_in_the_configuration_is_refused(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  UserKnownHostsFile none\n")
    destination = ["--to", sshd.destination(), "--key", str(sshd.key), "--ssh-config", str(config)]
    done = finished([*PROGRAM, "run", str(source), *destination])
    assert done.returncode == 2
    assert "switches the check of the host key off" in done.stderr


def test_a_known_hosts_line_that_makes_no_sense_is_shown(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("nonsense\n")
    done = finished(run_with(sshd, source, known_hosts=known_hosts))
    assert done.returncode == 1
    assert "nonsense" in done.stderr


def test_a_key_that_the_server_does_not_know_is_an_error_with_advice(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    done = finished(run_with(sshd, source, key=new_key(tmp_path / "stranger")))
    assert done.returncode == 1
    assert "no key was accepted" in done.stderr
    assert "authorized_keys" in done.stderr


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), ("no key", "not a private key")])
def test_a_key_file_that_is_none_is_a_wrong_setting(
    sshd: Sshd, source: Path, tmp_path: Path, content: str | None, said: str
) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    done = finished(run_with(sshd, source, key=key))
    assert done.returncode == 2
    assert said in done.stderr


def encrypted(sshd: Sshd, tmp_path: Path) -> Path:
    """The user's key, locked with a passphrase."""
    key = tmp_path / "locked"
    key.write_bytes(sshd.key.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(key)], check=True)
    return key


def test_an_encrypted_key_without_a_terminal_says_where_to_give_the_passphrase(
    sshd: Sshd, source: Path, tmp_path: Path
) -> None:
    done = finished(run_with(sshd, source, key=encrypted(sshd, tmp_path)))
    assert done.returncode == 1
    assert "is encrypted" in done.stderr
    assert "ssh-agent" in done.stderr


def test_an_encrypted_key_of_the_configuration_is_said_to_be_passed_over(
    sshd: Sshd, source: Path, tmp_path: Path
) -> None:
    key, config = encrypted(sshd, tmp_path), tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {key}\n  UserKnownHostsFile {sshd.known_hosts}\n")
    done = finished([*PROGRAM, "run", str(source), "--to", sshd.destination(), "--ssh-config", str(config)])
    assert done.returncode == 1
    assert f"Passed over, since encrypted: {key}" in done.stderr


@pytest.mark.parametrize(("answers", "code"), [(["open sesame"], 0), (["wrong", "open sesame"], 0), (["a"] * 3, 1)])
def test_an_encrypted_key_is_asked_for_on_a_terminal(
    sshd: Sshd, source: Path, tmp_path: Path, answers: list[str], code: int
) -> None:
    command = run_with(sshd, source, key=encrypted(sshd, tmp_path))
    ended, screen = at_a_terminal(command, answers)
    assert ended == code, screen
    assert screen.count("Passphrase for the key") == len(answers)
    assert "sesame" not in screen


@pytest.mark.parametrize("command", ["run", "list"])
def test_ctrl_c_at_that_question_ends_it(sshd: Sshd, source: Path, tmp_path: Path, command: str) -> None:
    place = [str(source), "--to", sshd.destination()] if command == "run" else [sshd.destination()]
    access = ["--key", str(encrypted(sshd, tmp_path)), "--known-hosts", str(sshd.known_hosts)]
    ended, screen = at_a_terminal([*PROGRAM, command, *place, *access], [CTRL_C])
    assert ended == 130, screen
    assert screen.count("Passphrase for the key") == 1


def at_a_terminal(command: list[str], answers: list[str]) -> tuple[int, str]:
    """Run at a terminal of its own and type an answer at each prompt."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(command[0], command, environment())
    screen, typed, deadline = "", 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                screen += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                break
        if screen.count("Passphrase for the key") > typed and screen.rstrip().endswith(":"):
            os.write(terminal, answers[typed].encode() + b"\n" * (answers[typed] != CTRL_C))
            typed += 1
            time.sleep(0.2)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), screen


def test_nobody_listening_is_said_with_host_and_port(source: Path, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        done = finished([*PROGRAM, "run", str(source), "--to", f"sftp://me@127.0.0.1:{port}/x"], home=tmp_path)
    assert done.returncode == 1
    assert f"127.0.0.1 port {port}: connection refused" in done.stderr


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_says_nothing_is_given_up(source: Path, tmp_path: Path, silent_port: int) -> None:
    to = ["--to", f"sftp://me@127.0.0.1:{silent_port}/x", "--timeout", "1"]
    done = finished([*PROGRAM, "run", str(source), *to], home=tmp_path)
    assert done.returncode == 1
    assert "no answer" in done.stderr or "closed the connection" in done.stderr


def test_a_host_name_that_nobody_knows_is_said(source: Path, tmp_path: Path) -> None:
    done = finished([*PROGRAM, "run", str(source), "--to", "me@nowhere.invalid:/x"], home=tmp_path)
    assert done.returncode == 1
    assert "nowhere.invalid" in done.stderr


@pytest.fixture
def server_with(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Servers with lines of configuration of their own."""
    need_sshd()
    from contextlib import ExitStack

    with ExitStack() as running:

        def start(*options: str) -> Sshd:
            return running.enter_context(running_sshd(tmp_path / "server", options=options))

        yield start


def test_a_server_without_sftp_says_what_to_switch_on(server_with: Callable[..., Sshd], source: Path) -> None:
    done = finished(backup_command(server_with("Subsystem other /bin/false"), source))
    assert done.returncode == 1
    assert "does not offer SFTP" in done.stderr


def test_a_directory_that_cannot_be_written_is_named(server_with: Callable[..., Sshd], source: Path) -> None:
    server = server_with("ForceCommand internal-sftp -R")
    done = finished(backup_command(server, source))
    assert done.returncode == 1
    assert str(server.directory) in done.stderr
    assert "permission denied" in done.stderr
    assert list(server.directory.iterdir()) == []


def test_a_file_in_the_way_of_the_directory_is_said(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = finished(backup_command(sshd, source, to=tmp_path / "file" / "below"))
    assert done.returncode == 1
    assert f"{tmp_path}/file" in done.stderr
    assert "is not a directory" in done.stderr


def test_a_server_without_commands_is_read_back_from(server_with: Callable[..., Sshd], source: Path) -> None:
    server = server_with("ForceCommand internal-sftp")
    done = finished(backup_command(server, source))
    assert done.returncode == 0
    assert "read back" in done.stdout
    assert len(list(server.directory.glob("entry-*.tar.gz"))) == 1


def test_verification_by_command_alone_fails_early_without_one(server_with: Callable[..., Sshd], source: Path) -> None:
    server = server_with("ForceCommand internal-sftp")
    done = finished(backup_command(server, source, "--verify", "command"))
    assert done.returncode == 1
    assert "--verify auto or readback" in done.stderr
    assert list(server.directory.iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_called_full_and_left_as_it_was(sshd: Sshd, source: Path, full_disk: Path) -> None:
    (source / "large").write_bytes(os.urandom(3 << 20))
    done = finished(backup_command(sshd, source, "--retries", "0", to=full_disk))
    assert done.returncode == 3
    assert "the disk (or the quota) is full" in done.stderr
    assert not list(full_disk.glob("large*"))
    assert not list(full_disk.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "nowhere"], "user@host:/dir"),
        (["--to", "sftp://me:secret@host/x"], "without a password"),
        (["--to", "me@host:/x", "--level", "12"], "from 0 to 9"),
        (["--to", "me@host:/x", "--segment-size", "4 pounds"], "4MiB, 10M, 512k"),
        (["--to", "me@host:/x", "--segment-size", "1k"], "from 65536"),
        (["--to", "me@host:/x", "--hash", "crc32"], "md5, sha1, sha256, sha512"),
        (["--to", "me@host:/x", "--workers", "0"], "from 1 to"),
        (["--to", "me@host:/x", "--limit-rate", "5"], "too low"),
        (["--to", "me@host:/x", "--timestamp-format", "%d/%m"], "file name"),
        (["--to", "sftp://me@host:22/x", "--port", "23"], "contradicts"),
        (["--to", "me@host:/x", "--exclude-from", "/does/not/exist"], "cannot be read"),
        (["--to", "me@host:/x", "--exclude", "[ab"], "[ is not closed"),
        (["--to", "me@host:/x", "--verify", "maybe"], "readback"),
        (["--to", "me@host:/x", "--unknown"], "No such option"),
        ([], "--to"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(source: Path, arguments: list[str], said: str) -> None:
    done = finished([*PROGRAM, "run", str(source), *arguments])
    assert done.returncode == 2
    assert said in done.stderr


def test_a_pattern_that_is_wrong_is_told_with_its_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text("*.o\n[ab\n")
    done = finished([*PROGRAM, "run", str(source), "--to", "me@host:/x", "--exclude-from", str(tmp_path / "patterns")])
    assert done.returncode == 2
    assert f"{tmp_path}/patterns is not valid: '[ab'" in done.stderr


def test_a_source_that_is_not_there_is_said_before_anything_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    command = [*PROGRAM, "run", str(tmp_path / "gone"), "--to", sshd.destination(tmp_path / "to"), *login(sshd)]
    done = finished(command)
    assert done.returncode == 1
    assert f"{tmp_path}/gone" in done.stderr
    assert not (tmp_path / "to").exists()


def test_a_source_that_is_a_file_is_explained(sshd: Sshd, source: Path) -> None:
    done = finished(backup_command(sshd, source / "entry"))
    assert done.returncode == 1
    assert "is not a directory" in done.stderr


def test_an_alias_of_the_ssh_configuration_works(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host nas\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    done = finished([*PROGRAM, "run", str(source), "--to", f"nas:{tmp_path}/to", "--ssh-config", str(config)])
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "to").glob("*.tar.gz"))) == 1


def test_a_system_without_room_for_processes_is_said_so(sshd: Sshd, source: Path) -> None:
    done = finished(["bash", "-c", f"ulimit -n 24; {shlex.join(backup_command(sshd, source))}"])
    assert done.returncode in {1, 2}  # whichever meets the limit first: processes, slots, keys or the connection
    assert done.stderr.startswith("error: ")


def test_too_little_memory_is_no_hang(sshd: Sshd, source: Path) -> None:
    command = shlex.join(backup_command(sshd, source))
    done = subprocess.run(["bash", "-c", f"ulimit -v 300000; {command}"], capture_output=True, timeout=60, check=False)
    assert done.returncode in {0, 1, 3}
