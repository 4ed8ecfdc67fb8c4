"""What moves about in a tree while it is walked is in the archive, or it is said that it may not be."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from async_backup.archive import listings, plan
from async_backup.archive.content import REREADS, REST
from async_backup.archive.jobs import Batch
from async_backup.archive.member import Problem, ProblemKind
from async_backup.archive.plan import Planner, PlanRules
from tests.trees import SEGMENT, Directory, File, build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRY = b"entry"
MAIL = Directory(
    {
        b"cur": Directory({b"old": File(2 * SEGMENT)}),
        b"new": Directory({b"letter": File(10)}),
        b"sent": Directory({b"mine": File(10)}),
    }
)


def planned_while(tmp_path: Path, change: Callable[[Path], object]) -> tuple[set[bytes], list[Problem]]:
    """The names in the plan of a mailbox to which `change` is done once `cur` has been listed; and the problems."""
    build(tmp_path, ENTRY, MAIL)
    time.sleep(2 * REST / 1e9)
    planner = Planner(bytes(tmp_path), ENTRY, PlanRules(SEGMENT))
    jobs = planner.jobs()
    found = [next(jobs)]
    change(tmp_path / "entry")
    found += jobs
    groups = [group for job in found if isinstance(job, Batch) for group in job.groups]
    return {item[0] for group in groups for item in group.items}, planner.problems


def test_what_moves_into_a_directory_that_was_listed_is_told(tmp_path: Path) -> None:
    names, problems = planned_while(tmp_path, lambda mail: (mail / "new/letter").rename(mail / "cur/letter:2,S"))
    assert not {name for name in names if name.startswith(b"letter")}
    [(path, kind, reason)] = problems
    assert (path, kind) == (b"entry/new", ProblemKind.CHANGED)
    assert "moved from it into a directory that had been listed before" in reason


@pytest.mark.parametrize(
    "change",
    [
        lambda mail: (mail / "new/another").write_text("new"),
        lambda mail: (mail / "new/letter").unlink(),
        lambda mail: (mail / "cur/another").write_text("new"),
        lambda mail: (mail / "cur/old").unlink(),
        lambda mail: (mail / "new/letter").rename(mail / "sent/letter"),
        lambda mail: (mail / "sent/mine").rename(mail / "new/mine"),
    ],
)
def test_what_loses_nothing_that_was_there_all_the_time_is_not(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    _, problems = planned_while(tmp_path, change)
    assert problems == []


def test_beyond_the_limit_directories_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "LISTINGS_LIMIT", 1)
    _, problems = planned_while(tmp_path, lambda mail: (mail / "new/letter").rename(mail / "cur/letter"))
    assert problems == []


@pytest.mark.parametrize("times", [1, REREADS, REREADS + 1])
def test_a_directory_that_changes_while_it_is_listed_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    build(tmp_path, ENTRY, Directory({b"file": File(1)}))
    listed, sorted_names = list[int](), plan._sorted_names

    def names(directory: int) -> list[bytes]:
        found = sorted_names(directory)
        if len(listed) < times:
            time.sleep(2 * REST / 1e9)
            (tmp_path / "entry" / f"new{len(listed)}").touch()
        listed.append(directory)
        return found

    monkeypatch.setattr(plan, "_sorted_names", names)
    planner = Planner(bytes(tmp_path), ENTRY, PlanRules(SEGMENT))
    assert os.listdir(tmp_path) == ["entry"]
    assert len(list(planner.jobs())) == 1
    is_told = times > REREADS
    assert len(listed) == min(times, REREADS) + 1
    assert [(problem.path, problem.kind) for problem in planner.problems] == [(ENTRY, ProblemKind.CHANGED)] * is_told
