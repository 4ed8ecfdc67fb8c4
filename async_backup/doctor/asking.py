"""The steps that ask what the server can do: SFTP, shell, digest command, paths, extensions."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import fail_after

from async_backup.doctor.findings import failed, joined, ok, skipped, warning
from async_backup.doctor.model import Step
from async_backup.errors import ConnectionDropped, NoDigestCommand, NoSession, RemoteError, Unreachable
from async_backup.remote.base import READBACK
from async_backup.remote.digest import ways_without_shell
from async_backup.remote.digest_command import COMMANDS, DigestCommand
from async_backup.remote.digest_lines import ShellLines, parse_digest
from async_backup.remote.ssh import examine
from async_backup.remote.ssh.translate import is_request_refused

if TYPE_CHECKING:
    from async_backup.doctor.model import Finding
    from async_backup.doctor.patient import Patient
    from async_backup.remote.ssh.shell import Shell

_COMMAND_PATIENCE = 15.0
"""Seconds for a command that does next to nothing: some accounts run SFTP in place of every command, for ever."""

_SHOWN = 120
_ANOTHER_WAY = "Digests have to come another way, which the next step looks for."
_BY_SERVER = "The server verifies archives itself."
_READ_BACK = "Archives are read back to verify them, which is as safe, but every byte travels twice."


async def start_sftp(patient: Patient) -> Finding:
    """Whether files can be transferred at all."""
    try:
        channel = await patient.channel()
    except (Unreachable, NoSession) as error:
        found, _, advice = str(error).partition("; ")
        advice = "Enable SFTP: `Subsystem sftp internal-sftp` in its sshd_config, or in the settings of a NAS."
        if "start-up" in str(error):
            advice = "Make the start-up files of the account print nothing when there is no terminal."
        elif "ended at once" in str(error):
            advice = "Install the server's sftp-server, and give the account a shell that runs it."
        return failed(Step.SFTP, found, "Archives travel by SFTP; there is no other way.", advice)
    server = (await patient.connection()).server
    patient.learn(server=server)
    return ok(Step.SFTP, f"version {examine.sftp_version(channel)}, server software {_clean(server.encode())}")


async def try_shell(patient: Patient) -> Finding:
    """Whether commands run, what start-up files print, and whether `sh` stays."""
    patient.learn(verification=READBACK)
    marker = secrets.token_hex(12).encode()
    await patient.channel()
    connection = await patient.connection()
    try:
        with fail_after(_COMMAND_PATIENCE):
            output = await examine.run_command(connection, b"echo %b" % marker)
    except NoSession as error:
        if is_request_refused(error):
            return _no_shell("the server refuses them")
        advice = "Have it take 2 sessions or more (MaxSessions in sshd_config, SFTPMaxChannels of ProFTPD)."
        return warning(Step.SHELL, "the server takes no second session on a connection", _ANOTHER_WAY, advice)
    except (TimeoutError, ConnectionDropped):
        return _no_shell(f"a command gives no answer in {_COMMAND_PATIENCE:g} seconds")
    said, found, _ = output.text.partition(marker)
    if not found:
        return _no_shell(f"it says: {_clean(said)}" if said.strip() else "they end without a word")
    return await _try_sh(patient, said)


def _no_shell(how: str) -> Finding:
    advice = "Nothing, if the account is for SFTP only. A login shell would let the server compute the digests."
    return warning(Step.SHELL, f"the account runs no commands ({how})", _ANOTHER_WAY, advice)


async def _try_sh(patient: Patient, banner: bytes) -> Finding:
    try:
        shell = await (await patient.connection()).open_shell()
        answer = await shell.run(b"echo; uname -s 2>/dev/null", _COMMAND_PATIENCE)
    except (RemoteError, ConnectionDropped) as error:
        advice = "Nothing where the next step succeeds; otherwise give the account a sh."
        return warning(Step.SHELL, f"commands run, but no `sh` stays ({error})", _ANOTHER_WAY, advice)
    patient.shell = shell
    system = f" on {_clean(answer.output)}" if answer.output.strip() else ""
    if banner.strip():
        meaning = "That does no harm here, but every new command waits for it."
        advice = "Make the start-up files of the account print nothing when there is no terminal."
        return ok(Step.SHELL, f"sh runs{system}; start-up files print: {_clean(banner)}", meaning, advice)
    return ok(Step.SHELL, f"sh runs{system}, and start-up files print nothing")


async def find_digest_command(patient: Patient) -> Finding:
    """Which command of the server gives the right digest of known bytes."""
    algorithm, found = patient.settings.hash, []
    if patient.shell is None:
        return await _find_way_without_shell(patient)
    content = secrets.token_hex(16).encode()
    expected = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    for command in COMMANDS[algorithm]:
        line = b"printf %%s %b | LC_ALL=C %b" % (content, command.encode())
        answer = await patient.shell.run(line, _COMMAND_PATIENCE)
        if parse_digest(answer, algorithm) == expected:
            found.append(command)
    if not found:
        advice = f"Install one of these there: {', '.join(COMMANDS[algorithm])}; or try another --hash."
        return warning(Step.DIGEST, f"no command computes {algorithm}", _READ_BACK, advice)
    patient.learn(digest_command=found[0])
    also = f" (also: {', '.join(found[1:])})" if found[1:] else ""
    return ok(Step.DIGEST, f"{found[0]}{also} gives the right {algorithm}", _BY_SERVER)


async def _find_way_without_shell(patient: Patient) -> Finding:
    """Whether SFTP, or a command by itself, gives the right digest of a file."""
    try:
        way = await _way_without_shell(patient)
    except RemoteError as error:
        return skipped(Step.DIGEST, f"no file could be written to try it on ({error})", _READ_BACK)
    if way is None:
        return skipped(Step.DIGEST, "neither SFTP nor a command by itself computes one", _READ_BACK)
    return ok(Step.DIGEST, f"{way} gives the right {patient.settings.hash}, without a shell", _BY_SERVER)


async def _way_without_shell(patient: Patient) -> str | None:
    """What computes digests without a shell, which is learnt; raises RemoteError where no file can be written."""
    probe = await patient.probe()
    for way in ways_without_shell(patient, patient.settings.hash, _COMMAND_PATIENCE):
        with suppress(RemoteError):
            found = await way.find(probe, patient.content_digest)
            patient.learn(digest_command=found, verification=found)
            return found
    return None


async def compare_paths(patient: Patient) -> Finding:
    """Whether the shell finds a file under the path that it has over SFTP."""
    command, shell = patient.learnt.digest_command, patient.shell
    if shell is None or not command:
        return skipped(Step.PATHS, "no shell computes a digest")
    try:
        probe = await patient.probe()
    except RemoteError:
        return skipped(Step.PATHS, f"no file could be written to try it on; see {Step.WRITING}")

    async def runner() -> Shell:
        return shell

    known = {"algorithm": patient.settings.hash, "host": patient.host}
    way = DigestCommand(runner, ShellLines(), [command], **known, timeout=_COMMAND_PATIENCE)
    try:
        patient.learn(verification=await way.find(probe, patient.content_digest))
    except NoDigestCommand as error:
        return await _other_paths(patient, str(error))
    if way.root:
        return ok(Step.PATHS, f"commands see the files of SFTP below {way.root}", _BY_SERVER)
    return ok(Step.PATHS, "commands see the same files under the same paths as SFTP")


async def _other_paths(patient: Patient, error: str) -> Finding:
    if way := await _way_without_shell(patient):
        return ok(Step.PATHS, f"the shell does not see the files of SFTP, but {way} gives their digests", _BY_SERVER)
    advice = "Nothing, or name DEST by a path that is the same for both (a NAS may show /backup for /volume1/backup)."
    return warning(Step.PATHS, f"commands do not see the files of SFTP ({_clean(error.encode())})", _READ_BACK, advice)


_MISSING = {
    "fsync": "files are not flushed to the disk: a power cut there may cost archives that were just committed",
    "statvfs": "free space cannot be asked for, and a full disk shows as a plain failure",
    "limits": "requests are kept to a size that every server takes",
    "hardlink": "`run --link-unchanged` sends what has not changed as well",
    "copy-data": "`run --copy-unchanged` sends what the server has as well",
}
_UNUSED = frozenset({"posix-rename"})
"""Told of, and not needed: an archive gets its name by the plain rename, which overwrites nothing."""


async def list_extensions(patient: Patient) -> Finding:
    """Which extensions of SFTP the server has, and what the absence of others costs."""
    channel = await patient.channel()
    patient.extensions = there = examine.extensions_of(channel)
    missing = [name for name in examine.EXTENSIONS if name not in there]
    found = f"{', '.join(sorted(there)) or 'none'}; {channel.chunk >> 10} KiB a request"
    costs = [f"Without {name} {_MISSING[name]}." for name in missing if name in _MISSING]
    if not missing:
        return ok(Step.EXTENSIONS, found, "All that matters is there.")
    found = f"{found}; not {joined(missing)}"
    unused = [name for name in missing if name in _UNUSED]
    spare = [f"{joined(unused).capitalize()} would not be used."] if unused else []
    report = warning if "fsync" in missing or "statvfs" in missing else ok
    advice = "OpenSSH's sftp-server has them all; an update of the server's software may bring them."
    return report(Step.EXTENSIONS, found, " ".join(costs + spare), advice)


def _clean(text: bytes) -> str:
    line = " ".join(text.decode("utf-8", "backslashreplace").split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
