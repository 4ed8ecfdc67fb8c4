"""The layout of design: a file imports only files below it, asyncssh stays in its corner, each module imports alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "async_backup"

LAYERS = [
    [
        "async_backup.archive",
        "async_backup.errors",
        "async_backup.heap",
        "async_backup.replacing",
        "async_backup.tasks",
        "async_backup.together",
        "async_backup.text",
    ],
    ["async_backup.config", "async_backup.child", "async_backup.slots", "async_backup.profiles"],
    [
        "async_backup.worker_process",
        "async_backup.archive_names",
        "async_backup.retention",
        "async_backup.stopping",
        "async_backup.index_paths",
        "async_backup.durations",
        "async_backup.locking",
    ],
    ["async_backup.remote"],
    ["async_backup.model", "async_backup.unpack", "async_backup.checksum_files"],
    ["async_backup.unpack_process"],
    ["async_backup.events"],
    ["async_backup.processes", "async_backup.last_run"],
    ["async_backup.workers", "async_backup.scan", "async_backup.catalog", "async_backup.archived"],
    ["async_backup.copying"],
    ["async_backup.branch"],
    ["async_backup.body", "async_backup.unpackers", "async_backup.counting"],
    ["async_backup.transfer", "async_backup.endings"],
    ["async_backup.upload", "async_backup.destinations"],
    ["async_backup.linking"],
    ["async_backup.pipeline"],
    [
        "async_backup.backing_up",
        "async_backup.restoring",
        "async_backup.listing",
        "async_backup.pruning",
        "async_backup.verifying",
        "async_backup.scheduling",
        "async_backup.hooks",
        "async_backup.doctor",
    ],
    ["async_backup.benching"],
    ["async_backup.ui", "async_backup.demo"],
    ["async_backup.cli"],
]
"""From the bottom to the top. Within a layer only modules of the same package may import each other."""

USES_ASYNCSSH = ("async_backup.remote.ssh", "async_backup.demo")


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> set[str]:
    """Everything a file imports, for type checkers too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def layer(module: str) -> tuple[int, str] | None:
    for height, packages in enumerate(LAYERS):
        for package in packages:
            if module == package or module.startswith(package + "."):
                return height, package
    return None


@pytest.mark.parametrize(("module", "path"), sorted(modules().items()))
def test_a_module_imports_only_what_is_below_it(module: str, path: Path) -> None:
    here = layer(module)
    if here is None:
        assert module in {"async_backup", "async_backup.__main__"}
        return
    above = [
        name
        for name in imports(path)
        if (there := layer(name)) and (there[0] > here[0] or (there[0] == here[0] and there[1] != here[1]))
    ]
    assert above == []


@pytest.mark.parametrize(("module", "path"), sorted(modules().items()))
def test_only_the_ssh_package_and_the_demo_server_know_asyncssh(module: str, path: Path) -> None:
    knows = any(name.split(".")[0] == "asyncssh" for name in imports(path))
    assert not knows or module.startswith(USES_ASYNCSSH)


@pytest.mark.parametrize(("module", "path"), sorted(modules().items()))
def test_only_the_command_line_prints_exits_or_reads_the_environment(module: str, path: Path) -> None:
    text = path.read_text()
    forbidden = re.findall(r"(?<![\w.])print\(|sys\.exit\(|os\.environ|getenv\(|basicConfig\(", text)
    if module.startswith(("async_backup.cli", "async_backup.ui")):
        return
    assert forbidden == []


@pytest.mark.parametrize(("module", "path"), sorted(modules().items()))
def test_only_the_command_line_configures_logging(module: str, path: Path) -> None:
    found = re.findall(r"\.addHandler\(|\.setLevel\(|dictConfig\(|fileConfig\(|basicConfig\(", path.read_text())
    assert found == [] or module.startswith("async_backup.cli")


def test_each_module_imports_alone() -> None:
    code = "import importlib, sys; importlib.import_module(sys.argv[1])"
    running = [
        (name, subprocess.Popen([sys.executable, "-W", "error", "-c", code, name], stderr=subprocess.PIPE))
        for name in modules()
        if name != "async_backup.__main__"
    ]
    failed = {name: process.communicate()[1] for name, process in running}
    assert {name: text for name, text in failed.items() if text} == {}


def test_a_packing_process_loads_neither_asyncssh_nor_the_command_line() -> None:
    code = "import async_backup.worker_process, async_backup.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncssh", "typer", "rich", "anyio"} & set(loaded) == set()
