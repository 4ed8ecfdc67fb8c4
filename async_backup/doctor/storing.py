"""The steps that write a little: what the account may do in the destination, free space, clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from async_backup.doctor.findings import failed, ok, seconds, skipped, warning
from async_backup.doctor.model import Step
from async_backup.errors import ConnectionDropped, RemoteDenied, RemoteError, RemoteFull
from async_backup.remote.privacy import Privacy, privacy_of
from async_backup.remote.ssh import examine
from async_backup.text import size

if TYPE_CHECKING:
    from async_backup.doctor.model import Finding
    from async_backup.doctor.patient import Patient
    from async_backup.remote.ssh.examine import Space

_LITTLE = 1 << 30
_LITTLE_SHARE = 0.05
_MANY_FILES = 10_000
_CLOCK_TOLERANCE = 5.0
"""Seconds; SFTP tells times in whole ones."""

_CANNOT_REMOVE = "a file that is written for it could not be removed again"
_NO_BACKUP = "No archive can be stored there."


async def try_writing(patient: Patient) -> Finding:
    """Make, flush, rename and remove, as a backup does."""
    place = b"."
    try:
        place = await patient.place()
        probe = await patient.probe()
    except ConnectionDropped:
        raise
    except RemoteError as error:
        return await _cannot_write(patient, place, error)
    shown = place.decode("utf-8", "backslashreplace")
    privacy = await privacy_of(await patient.channel(), probe)
    if not await _can_remove(patient, probe):
        return _cannot_remove(shown)
    found = await _try_everything(patient, shown)
    return found if privacy is not Privacy.NONE else _open_to_others(found)


def _open_to_others(finding: Finding) -> Finding:
    """All is well but that: archives hold what their sources keep to themselves, and are not encrypted."""
    meaning = "Others who have an account there can read archives: the server gives files a mode of its own."
    advice = "Keep the directory to the account (mode 0700), or see to the server's settings of modes."
    return warning(Step.WRITING, finding.found, " ".join(filter(None, (finding.meaning, meaning))), advice)


async def _cannot_write(patient: Patient, place: bytes, error: RemoteError) -> Finding:
    reason = await (await patient.channel()).explain(error, place)
    advice = "Check the directory in DEST, its owner and its mode on the server, and the account."
    if isinstance(reason, RemoteFull):
        advice = "Make room on the server, or name a directory on another disk."
    return failed(Step.WRITING, str(reason), _NO_BACKUP, advice)


async def _can_remove(patient: Patient, path: bytes) -> bool:
    channel = await patient.channel()
    try:
        await patient.litter.remove_file(channel, path)
    except RemoteDenied:
        patient.is_removing_allowed = False
    return patient.is_removing_allowed


def _cannot_remove(place: str) -> Finding:
    found = f"{place} can be written to, but files cannot be removed"
    meaning = (
        "Whoever has this key cannot remove archives, which protects them. What a failed attempt leaves stays there, "
        "and `prune` does not work with it. Further steps write nothing."
    )
    return warning(Step.WRITING, found, meaning, "Prune with another account.")


async def _try_everything(patient: Patient, place: str) -> Finding:
    channel, first, target = await patient.channel(), await patient.write_file(b"first"), await patient.new_name()
    patient.litter.note_file(target)
    await channel.rename(first, target)
    if not await channel.exists(target):
        found = "the server says that it has renamed a file, and none has the new name"
        return failed(Step.WRITING, found, _NO_BACKUP, "Use another server; what this one says of files is not so.")
    patient.litter.forget(first)
    await patient.litter.remove_file(channel, target)
    await _try_directory(patient)
    done = "files and directories can be made, renamed and removed"
    if patient.made_directories:
        return ok(Step.WRITING, f"{place} does not exist, but can be made; in it {done}", "`run` makes it when needed.")
    return ok(Step.WRITING, f"in {place} {done}")


async def _try_directory(patient: Patient) -> None:
    channel, path = await patient.channel(), await patient.new_name()
    patient.litter.note_directory(path)
    try:
        await channel.make_directory(path)
    except ConnectionDropped:
        raise
    except RemoteError:
        patient.litter.forget(path)
        raise
    await patient.litter.remove_directory(channel, path)


async def try_overwriting(patient: Patient) -> Finding:
    """Whether a file keeps what it holds when another one is renamed to its name."""
    if not patient.is_removing_allowed:
        return skipped(Step.OVERWRITING, _CANNOT_REMOVE)
    channel, first, second = await patient.channel(), await patient.write_file(b"1"), await patient.write_file(b"22")
    try:
        await channel.rename(first, second)
    except ConnectionDropped:
        raise
    except RemoteError:
        is_safe = (await channel.entry(second)).size == len(b"22")
    else:
        is_safe = False
    for path in (first, second):
        await patient.litter.remove_file(channel, path)
    if is_safe:
        return ok(Step.OVERWRITING, "renaming to a name that is taken is refused", "No archive is ever overwritten.")
    meaning = "An archive that somebody else puts under the same name at the same moment would be lost."
    advice = "Let no two runs write the same entry; better, use a server whose SFTP is OpenSSH's."
    return failed(Step.OVERWRITING, "renaming overwrites a file that is there", meaning, advice)


async def ask_space(patient: Patient) -> Finding:
    """How much room there is."""
    try:
        place = await patient.place()
    except ConnectionDropped:
        raise
    except RemoteError:
        return skipped(Step.SPACE, f"there is no directory to ask for; see {Step.WRITING}")
    space = await examine.space_of(await patient.channel(), place)
    if space is None:
        meaning = "Whether the next backup fits is not known."
        return warning(Step.SPACE, "the server does not tell free space", meaning, "Watch it there.")
    patient.learn(free=space.free)
    return _judged(space)


def _judged(space: Space) -> Finding:
    share = space.free / space.total if space.total else 1
    found = f"{size(space.free)} of {size(space.total)} free ({share:.0%})"
    if space.is_read_only:
        advice = "Mount it for writing; after disk errors a server makes it read-only by itself, so see its log first."
        return failed(Step.SPACE, f"the file system is mounted read-only ({found})", _NO_BACKUP, advice)
    if space.free == 0 or space.free_files == 0:
        nothing = found if space.free == 0 else f"{found}, but no further file can be made (inodes)"
        return failed(Step.SPACE, nothing, _NO_BACKUP, "Make room on the server, or `prune` old archives.")
    if space.free_files is not None and space.free_files < _MANY_FILES:
        found, meaning = f"{found}, room for {space.free_files} files", "Each archive is two files."
        return warning(Step.SPACE, found, meaning, "Make room, or `prune` old archives.")
    if space.free < _LITTLE or share < _LITTLE_SHARE:
        return warning(Step.SPACE, found, "A backup may not fit.", "Make room, or `prune` old archives.")
    return ok(Step.SPACE, found, "A quota of the account may allow less.")


async def compare_clocks(patient: Patient) -> Finding:
    """The server's clock, by the time of a file just written, minus ours."""
    if not patient.is_removing_allowed:
        return skipped(Step.CLOCK, _CANNOT_REMOVE)
    began = time.time()
    path = await patient.write_file(b"clock")
    ended = time.time()
    channel = await patient.channel()
    difference = _difference((await channel.entry(path)).mtime, began, ended)
    await patient.litter.remove_file(channel, path)
    patient.learn(clock_difference=difference)
    if abs(difference) <= _CLOCK_TOLERANCE:
        return ok(Step.CLOCK, "the server's clock is ours, to the second that SFTP tells")
    how = f"the server's clock is {seconds(abs(difference))} {'ahead' if difference > 0 else 'behind'}"
    meaning = "Archives are named by our clock; what another machine left behind is judged by the server's."
    return warning(Step.CLOCK, how, meaning, "Set both clocks by NTP (timedatectl set-ntp true).")


def _difference(mtime: float, began: float, ended: float) -> float:
    """Seconds; 0 where the time, cut to whole seconds, may lie between beginning and end."""
    if mtime < int(began):
        return mtime - int(began)
    return max(0.0, mtime - ended)
