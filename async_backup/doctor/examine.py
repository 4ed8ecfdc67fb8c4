"""The public call that examines a destination: step by step, each told as it ends, everything cleaned up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from anyio import Event, move_on_after

from async_backup.doctor import asking, reaching, speed, storing
from async_backup.doctor.findings import failed, joined, skipped, warning
from async_backup.doctor.model import DoctorEnded, DoctorReport, Finding, State, Step, StepStarted
from async_backup.doctor.patient import Patient
from async_backup.errors import NO_SERVER, BackupError
from async_backup.events import ignore
from async_backup.stopping import unless_stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backup.doctor.model import DoctorListener, DoctorSettings


_IN_THE_WAY = "A backup would meet the same."
_SEE_LOG = "See the server's own log for the time of this step."


class _Check(NamedTuple):
    """How a step is done, which other one it cannot do without, and how many seconds it may take beside the timeout."""

    step: Step
    run: Callable[[Patient], Awaitable[Finding]]
    needs: Step | None
    patience: float = 0.0


_CHECKS = (
    _Check(Step.RESOLUTION, reaching.resolve, None),
    _Check(Step.TCP, reaching.reach, Step.RESOLUTION),
    _Check(Step.HOST_KEY, reaching.check_host_key, Step.TCP, 60),
    _Check(Step.AUTHENTICATION, reaching.authenticate, Step.HOST_KEY),
    _Check(Step.SFTP, asking.start_sftp, Step.AUTHENTICATION),
    _Check(Step.SHELL, asking.try_shell, Step.SFTP),
    _Check(Step.DIGEST, asking.find_digest_command, Step.SFTP),
    _Check(Step.PATHS, asking.compare_paths, Step.SFTP),
    _Check(Step.EXTENSIONS, asking.list_extensions, Step.SFTP),
    _Check(Step.WRITING, storing.try_writing, Step.SFTP),
    _Check(Step.OVERWRITING, storing.try_overwriting, Step.WRITING),
    _Check(Step.SPACE, storing.ask_space, Step.SFTP),
    _Check(Step.ROUND_TRIP, speed.measure_round_trip, Step.SFTP),
    _Check(Step.SESSIONS, speed.count_sessions, Step.SFTP, 60),
    _Check(Step.CLOCK, storing.compare_clocks, Step.WRITING),
    _Check(Step.RATE, speed.measure_rate, Step.WRITING, 120),
)


async def examine(
    settings: DoctorSettings, listener: DoctorListener = ignore, *, stop: Event | None = None
) -> DoctorReport:
    """Look at a destination from all sides; whatever that made on the server is removed again, also after a failure.

    Setting `stop` ends it early. Raises SettingsError, or HostKeyError where known hosts cannot be read: all else
    is a finding.
    """
    stop = stop or Event()
    began = time.monotonic()
    patient = await unless_stopped(stop, lambda: Patient.prepare(settings))
    if patient is None:
        report = DoctorReport(is_interrupted=True, seconds=time.monotonic() - began)
    else:
        examination = _Examination(patient, listener)
        try:
            await unless_stopped(stop, examination.run)
        finally:
            await patient.close()
        report = examination.report(time.monotonic() - began, is_interrupted=stop.is_set())
    listener(DoctorEnded(report))
    return report


class _Examination:
    """One examination under way."""

    def __init__(self, patient: Patient, listener: DoctorListener) -> None:
        self._patient = patient
        self._listener = listener
        self._findings: list[Finding] = []
        self._blocked: dict[Step, Step] = {}
        """Steps that did not succeed or could not be done, and the one which failed that is to blame."""
        self._lost: Step | None = None
        """The step in which the server went for good."""

    async def run(self) -> None:
        for check in _CHECKS:
            blame = self._lost or (self._blocked.get(check.needs) if check.needs else None)
            if blame is not None:
                self._blocked[check.step] = blame
                self._tell(skipped(check.step, f"not without {blame}"))
                continue
            self._listener(StepStarted(check.step))
            finding = await self._done(check)
            if finding.state is State.FAILED:
                self._blocked[check.step] = check.step
            self._tell(finding)

    async def _done(self, check: _Check) -> Finding:
        """What the step has found; an error or no answer in time is a finding, too."""
        patience = self._patient.settings.ssh.timeout + check.patience
        with move_on_after(patience):
            try:
                return await check.run(self._patient)
            except NO_SERVER as error:
                self._lost = check.step
                return failed(check.step, str(error), "The server was lost, and no new connection could be made.")
            except BackupError as error:
                return failed(check.step, str(error), _IN_THE_WAY, _SEE_LOG)
        self._patient.give_up_connection()
        return failed(check.step, f"no answer in {patience:g} seconds", _IN_THE_WAY, _SEE_LOG)

    def _tell(self, finding: Finding) -> None:
        self._findings.append(finding)
        self._listener(finding)

    def report(self, seconds: float, *, is_interrupted: bool) -> DoctorReport:
        """The end of it; what could not be removed is the last finding."""
        leftovers = self._patient.litter.names
        if leftovers:
            self._tell(_left(leftovers))
        return DoctorReport(tuple(self._findings), self._patient.learnt, leftovers, is_interrupted, seconds)


def _left(names: tuple[bytes, ...]) -> Finding:
    shown = joined([name.decode("utf-8", "backslashreplace") for name in names])
    meaning = "The next `run` removes the files among them if it may."
    return warning(Step.CLEANUP, f"left on the server: {shown}", meaning, "Remove them there.")
