"""Short forms for findings."""

from __future__ import annotations

from async_backup.doctor.model import Finding, State, Step


def ok(step: Step, found: str, meaning: str = "", advice: str = "") -> Finding:
    """All is well; advice may still tell what would be better."""
    return Finding(step, State.OK, found, meaning, advice)


def warning(step: Step, found: str, meaning: str, advice: str = "") -> Finding:
    """It works, at a price."""
    return Finding(step, State.WARNING, found, meaning, advice)


def failed(step: Step, found: str, meaning: str, advice: str = "") -> Finding:
    """It stands in the way."""
    return Finding(step, State.FAILED, found, meaning, advice)


def skipped(step: Step, why: str, meaning: str = "") -> Finding:
    """It was not looked at."""
    return Finding(step, State.SKIPPED, why, meaning)


def joined(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def seconds(value: float) -> str:
    """`0.4 ms`, `52 ms`, `1.2 s`."""
    if value < 0.010:
        return f"{value * 1000:.1f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
