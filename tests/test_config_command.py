"""Settings from file and environment on their way to the commands; `async-backup config`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from async_backup.cli.app import app
from async_backup.cli.profile_keys import CONFIGURED, keys_of, variable
from async_backup.cli.reference import BEGIN, END, markdown, settings_of, with_reference
from async_backup.errors import SettingsError
from async_backup.hooks.model import NAMES
from async_backup.profiles.keys import Key, Kind
from async_backup.profiles.schema import schema
from tests.command import PROGRAM, finished
from tests.configurations import asked, written

if TYPE_CHECKING:
    from tests.sshd import Sshd

ROOT = Path(__file__).parent.parent
SCHEMA_FILE = ROOT / "async_backup" / "profiles" / "schema.json"
REFERENCE = ROOT / "docs" / "configuration.md"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "wiki").mkdir(parents=True)
    return tmp_path / "source"


@pytest.fixture
def config(tmp_path: Path, source: Path) -> Path:
    """Of defaults, a profile and one that it extends; what a dry run prints tells which of them held."""
    return written(
        tmp_path,
        """\
[defaults]
timestamp-format = "%Y-%m-%dT%H%M%S"
exclude-caches = true
to = "nas:/defaults"

[profile.base]
sources = ["source"]
to = ["nas:/one", "sftp://off@site:2222/two"]

[profile.nightly]
extends = "base"
timestamp-format = "%Y%m%d%H%M%S"
no-xattrs = true
json = true
""",
    )


def origin(config: Path, key: str, *words: str, **variables: str) -> tuple[object, str, str | None]:
    done = asked("config", "show", "--json", "--config", str(config), *words, **variables)
    assert done.exit_code == 0, done.output
    found = {line["key"]: line for line in map(json.loads, done.output.splitlines())}[key]
    return found["value"], found["origin"], found["where"]


def archive(config: Path, *words: str, **variables: str) -> str:
    """The name that a run would give to the archive, by the settings that hold."""
    done = asked("run", "--dry-run", "--config", str(config), *words, **variables)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_the_command_line_stands_before_environment_profile_and_defaults(config: Path) -> None:
    nightly = ("--profile", "nightly", "--no-json")
    env = {"ASYNC_BACKUP_TIMESTAMP_FORMAT": "env-%Y%j%T"}
    assert "wiki-env-" in archive(config, *nightly, **env)
    assert "wiki-word-" in archive(config, *nightly, "--timestamp-format", "word-%Y%j%T", **env)
    assert "T" not in archive(config, *nightly).split("wiki-")[1]
    assert "T" in archive(config, "--profile", "base").split("wiki-")[1]


def test_each_setting_is_shown_with_the_place_that_it_is_from(config: Path) -> None:
    name = str(config)
    nightly = ("--profile", "nightly")
    assert origin(config, "timestamp-format", *nightly) == ("%Y%m%d%H%M%S", "profile nightly", f"{name}:12")
    assert origin(config, "to", *nightly)[1:] == ("profile base", f"{name}:8")
    assert origin(config, "exclude-caches", *nightly) == (True, "defaults", f"{name}:3")
    assert origin(config, "to") == (["nas:/defaults"], "defaults", f"{name}:4")
    assert origin(config, "queue", *nightly) == (64, "built-in", None)
    in_environment = origin(config, "timestamp-format", *nightly, ASYNC_BACKUP_TIMESTAMP_FORMAT="%s")
    assert in_environment == ("%s", "environment", "ASYNC_BACKUP_TIMESTAMP_FORMAT")


def test_what_is_shown_is_a_valid_profile(config: Path) -> None:
    done = asked("config", "show", "--profile", "nightly", "--config", str(config))
    shown = tomllib.loads(done.output)
    assert (shown["to"], shown["no-xattrs"]) == (["nas:/one", "sftp://off@site:2222/two"], True)
    assert (
        asked("config", "check", "--config", str(written(config.parent, "[profile.x]\n" + done.output))).exit_code == 0
    )


def test_the_defaults_hold_without_a_profile(config: Path, source: Path) -> None:
    assert "nas:/defaults/wiki" in archive(config, str(source))


def test_several_sources_and_destinations_stand_in_a_profile_relative_to_its_file(config: Path, source: Path) -> None:
    lines = archive(config, "--profile", "base").splitlines()
    assert len(lines) == 2
    assert all(f"{source}/wiki" in line for line in lines)


def test_the_command_line_replaces_the_lists_of_a_profile(config: Path) -> None:
    lines = archive(config, "--profile", "base", "--to", "else:/where").splitlines()
    assert [line.split("--> ")[1].split("-2")[0] for line in lines] == ["else:/where/wiki"]


def test_the_opposite_of_a_flag_takes_back_what_the_profile_set(config: Path) -> None:
    assert archive(config, "--profile", "nightly").startswith("{")
    assert archive(config, "--profile", "nightly", "--no-json", "--xattrs").startswith("would back up")
    assert asked("run", "--no-quiet", "--help").exit_code == 0


def test_the_environment_names_file_and_profile(config: Path) -> None:
    done = asked("run", "--dry-run", ASYNC_BACKUP_CONFIG=str(config), ASYNC_BACKUP_PROFILE="base")
    assert done.output.startswith("would back up"), done.output


def test_a_file_in_the_user_s_directory_is_found(tmp_path: Path, config: Path) -> None:
    (tmp_path / "xdg" / "async-backup").mkdir(parents=True)
    config.rename(tmp_path / "xdg" / "async-backup" / "config.toml")
    done = asked("config", "path", XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert done.output == f"{tmp_path}/xdg/async-backup/config.toml\n"


def test_every_setting_of_every_command_has_a_variable_of_its_own() -> None:
    root = typer.main.get_command(app)
    keys = keys_of(typer.Context(root))
    assert len({variable(name) for name in keys}) == len(keys) > 40
    group: Any = root
    for command in CONFIGURED:
        params = [param for param in group.commands[command].params if param.param_type_name == "option"]
        without = {param.name for param in params if not param.envvar}
        assert without <= {"help"}


def test_a_variable_of_run_does_not_say_where_restore_restores_to(tmp_path: Path) -> None:
    done = asked("restore", "nas:/b", "wiki", ASYNC_BACKUP_TO=str(tmp_path))
    assert done.exit_code == 2
    assert "--to" in done.output


def test_a_wrong_variable_is_an_error(config: Path) -> None:
    assert (
        asked("run", "--dry-run", "--config", str(config), "--profile", "base", ASYNC_BACKUP_WORKERS="x").exit_code == 2
    )
    done = asked("config", "show", ASYNC_BACKUP_WORKERS="x")
    assert (done.exit_code, "ASYNC_BACKUP_WORKERS" in done.output) == (2, True)


def check_lines(tmp_path: Path, text: str) -> tuple[int, list[str]]:
    file = written(tmp_path, text)
    done = asked("config", "check", "--config", str(file))
    return done.exit_code, [line.replace(f"{file}:", "") for line in done.output.splitlines()]


BAD = {
    'segment_size = "4MiB"': "did you mean segment-size?",
    'excludes = ["x"]': "did you mean exclude?",
    "workers = 0": "workers is 0; it must be from 1 to 256",
    'workers = "3"': 'workers has to be a whole number, not the string "3"',
    "workers = true": "workers has to be a whole number, not true",
    "port = 70000": "port has to be a whole number from 1 to 65535, not 70000",
    "timeout = 0.5": "timeout has to be a number of at least 1, not 0.5",
    'no-xattrs = "yes"': 'no-xattrs has to be true or false, not the string "yes"',
    "to = 3.5": "to has to be a string, or an array of them, not 3.5",
    'to = ["a:/b", ["c:/d"]]': "not an array",
    'to = "nowhere"': "'nowhere' is not a destination",
    'verify = "always"': 'verify has to be one of "auto", "command", "readback", not the string "always"',
    "exclude = {a = 1}": "not a table",
    "keep-within = 2026-01-01": "not the date or time 2026-01-01",
    'keep-daily = "some"': "is not how many to keep",
    'segment-size = "1 elephant"': "is not a size",
    'timestamp-format = "%H"': "%H",
    "level = 10": "level is 10; it must be from 0 to 9",
    'hash = "crc32"': "'crc32' is not a hash",
    'lock-wait = "soon"': "'soon' is not a length of time",
    'key = "a\\u0000b"': "key has to be a path",
}


@pytest.mark.parametrize(("line", "message"), BAD.items())
def test_a_wrong_setting_is_named_with_its_line_and_what_is_allowed(tmp_path: Path, line: str, message: str) -> None:
    code, lines = check_lines(tmp_path, f"[profile.x]\n\n{line}\n")
    assert (code, lines[0].startswith("error: 3: ")) == (2, True)
    assert message in lines[0]


def test_a_run_by_a_wrong_profile_ends_before_anything_is_sent(tmp_path: Path) -> None:
    file = written(tmp_path, '[profile.x]\nsources = ["."]\nto = "127.0.0.1:/b"\nport = 1\nlevl = 3\n')
    done = asked("run", "--profile", "x", "--config", str(file))
    assert (done.exit_code, done.output) == (
        2,
        f"error: {file}:5: there is no setting 'levl' (in [profile.x]); did you mean level?\n",
    )


def test_check_names_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    code, lines = check_lines(tmp_path, "[profile.x]\nport = 0\nlevel = true\n[defaults]\nlevl = 1\n")
    assert (code, [line[:9] for line in lines[:3]]) == (2, ["error: 2:", "error: 3:", "error: 5:"])


def test_check_finds_settings_that_contradict_each_other(tmp_path: Path) -> None:
    text = '[defaults]\nport = 22\n[profile.x]\nto = "sftp://h:2222/b"\nquiet = true\nverbose = true\n'
    code, lines = check_lines(tmp_path, text)
    assert code == 2
    assert "--port 22 contradicts the port in sftp://h:2222/b (profile x)" in lines[0]
    assert "quiet and verbose contradict each other" in lines[1]


def test_check_looks_at_hooks_too(tmp_path: Path) -> None:
    code, lines = check_lines(tmp_path, "[profile.x.hooks]\n\nbefor = 'true'\n")
    assert (code, lines[0].startswith("error: 3: ")) == (2, True)
    assert "did you mean before?" in lines[0]


def test_a_source_that_is_away_and_a_file_that_others_may_change_are_warnings(tmp_path: Path) -> None:
    file = written(tmp_path, '[profile.x]\nsources = ["away"]\n')
    file.chmod(0o666)
    done = asked("config", "check", "--config", str(file))
    warnings = [line for line in done.output.splitlines() if line.startswith("warning: ")]
    assert done.exit_code == 0
    assert ["chmod" in warnings[0], "has no to" in warnings[1], "away" in warnings[2]] == [True] * 3


def test_without_a_file_a_profile_is_an_error_that_says_where_was_looked(tmp_path: Path) -> None:
    done = asked("run", "--profile", "x", XDG_CONFIG_HOME=str(tmp_path))
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert f"{tmp_path}/async-backup/config.toml" in done.output
    assert "async-backup init" in done.output


@pytest.mark.parametrize("command", ["run", "prune", "verify", "list", "ls", "find", "restore"])
def test_a_missing_file_is_an_error_of_every_command(tmp_path: Path, command: str) -> None:
    done = asked(command, "--config", str(tmp_path / "missing"))
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "there is no configuration file" in done.output


@pytest.mark.parametrize("command", ["prune", "verify", "list", "ls", "find", "restore"])
def test_without_a_destination_a_command_says_how_to_name_one(command: str, tmp_path: Path) -> None:
    more = ["--to", str(tmp_path)] if command == "restore" else []
    done = asked(command, *more, XDG_CONFIG_HOME=str(tmp_path))
    assert done.exit_code == 2
    assert "--profile" in done.output


def test_help_is_there_whatever_is_in_the_file(tmp_path: Path) -> None:
    done = asked("run", "--help", ASYNC_BACKUP_CONFIG=str(written(tmp_path, "nonsense")))
    assert (done.exit_code, "Back up every entry" in done.output) == (0, True)


# Against a server


@pytest.fixture
def served(sshd: Sshd, tmp_path: Path, source: Path) -> Path:
    """A profile of two destinations, by the name nightly."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    return written(
        tmp_path,
        f"""\
[defaults]
key = "{sshd.key}"
known-hosts = "{sshd.known_hosts}"
ssh-config = "/dev/null"

[profile.nightly]
source = "{source}"
to = ["{sshd.destination(tmp_path / "one")}", "{sshd.destination(tmp_path / "two")}"]
keep-last = 1
timestamp-format = "%Y%m%d%H%M%S%f"
""",
    )


def by_profile(command: str, served: Path, *words: str) -> Any:
    return finished([*PROGRAM, command, "--profile", "nightly", "--config", str(served), *words])


def test_a_profile_runs_and_is_listed_verified_pruned_and_restored(served: Path, tmp_path: Path) -> None:
    assert [by_profile("run", served).returncode for _ in range(2)] == [0, 0]
    names = [sorted(path.name for path in (tmp_path / place).glob("*.gz")) for place in ("one", "two")]
    assert (names[0], len(names[0])) == (names[1], 2)
    assert by_profile("verify", served, "wiki").stdout.count("2 of 2 archives verified") == 2
    pruned = by_profile("prune", served, "wiki")
    assert (pruned.returncode, pruned.stdout.count("removed 1 of 2 archives")) == (0, 2)
    assert [len(list((tmp_path / place).glob("*.gz"))) for place in ("one", "two")] == [1, 1]
    assert by_profile("list", served, "--json").stdout.count('"entry": "wiki"') == 2
    assert "wiki" in by_profile("ls", served, "wiki").stdout
    assert by_profile("find", served, "*.txt").stdout.count("in 1 archive") == 2
    assert by_profile("restore", served, "wiki", "--to", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back" / "wiki").is_dir()


def test_one_destination_that_fails_does_not_hold_the_others_and_decides_the_exit_code(
    served: Path, tmp_path: Path, sshd: Sshd
) -> None:
    assert by_profile("run", served).returncode == 0
    (tmp_path / "one").rename(tmp_path / "gone")
    done = by_profile("verify", served)
    assert (done.returncode, done.stdout.count("1 of 1 archive verified")) == (1, 1)
    assert done.stderr.startswith("error: ")
    named = by_profile("verify", served, sshd.destination(tmp_path / "two"))
    assert (named.returncode, named.stdout.count("verified")) == (0, 1)


# Schema and reference


def current_schema() -> dict[str, Any]:
    return schema(settings_of(app))


def test_the_shipped_schema_is_up_to_date() -> None:
    """If not: async-backup config schema > async_backup/profiles/schema.json"""
    assert json.loads(SCHEMA_FILE.read_text()) == current_schema()
    assert json.loads(asked("config", "schema").output) == current_schema()


def test_the_reference_in_the_docs_is_up_to_date() -> None:
    """If not: python -m async_backup.cli.reference docs/configuration.md"""
    document = REFERENCE.read_text()
    assert with_reference(document, markdown(settings_of(app))) == document


def test_a_document_without_the_markers_is_not_touched() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_reference(f"{END}{BEGIN}", "x")


def test_the_schema_takes_the_examples_of_the_docs() -> None:
    examples = REFERENCE.read_text().split("```toml\n")[1:]
    for example in examples:
        jsonschema.validate(tomllib.loads(example.split("```")[0]), current_schema())
    jsonschema.validate(tomllib.loads(asked("init", "--print").output), current_schema())
    assert len(examples) >= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hook", ['"true"', '["a", "b"]', '{command = "x", timeout = "1m"}'])
def test_the_schema_knows_the_hooks(name: str, hook: str) -> None:
    jsonschema.validate(tomllib.loads(f"[hooks]\n{name} = {hook}\ntimeout = 3"), current_schema())
    jsonschema.validate(tomllib.loads(f"[profile.x.hooks]\n{name} = {hook}"), current_schema())


@pytest.mark.parametrize(
    "line", ["workers = '3'", "excludes = []", "port = 0", "verify = 'x'", "to = 3.5", "no-xattrs = 1", "extends = 1"]
)
def test_the_schema_refuses_what_check_refuses(tmp_path: Path, line: str) -> None:
    text = f"[profile.x]\n{line}\n"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), current_schema())
    assert asked("config", "check", "--config", str(written(tmp_path, text))).exit_code == 2


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(current_schema())


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False).filter(lambda number: not number.is_integer()),
        st.text(max_size=5),
    ),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
KINDS = st.sampled_from([key for key in settings_of(app) if key.kind is not Kind.PATH])


@given(KINDS, VALUES)
def test_schema_and_check_agree_on_types(key: Key, value: object) -> None:
    """But for whole floats, which are integers to JSON Schema, and NUL, which no argument of a program can hold."""
    if "\0" in str(value) or "\\x00" in str(value):
        return
    try:
        key.check(value)
        is_taken = True
    except SettingsError:
        is_taken = False
    document = {"defaults": {key.name: value}}
    assert jsonschema.Draft202012Validator(current_schema()).is_valid(document) is is_taken


def test_a_file_that_several_profiles_would_write_is_worth_a_warning(tmp_path: Path) -> None:
    profiles = "".join(f'[profile.{name}]\nsources = "{tmp_path}"\nto = "host:/{name}"\n' for name in "abc")
    own = f'metrics = "{tmp_path}/c.prom"\n'
    config = written(tmp_path, f'[defaults]\nmetrics = "{tmp_path}/all.prom"\n{profiles}{own}')
    done = asked("config", "check", "--config", str(config))
    assert done.exit_code == 0
    (warning,) = [line for line in done.output.splitlines() if line.startswith("warning: ")]
    assert warning.endswith(f":2: the metrics file {tmp_path}/all.prom is replaced by each of the profiles a, b")


def test_what_is_wrong_with_hooks_is_said_once(tmp_path: Path) -> None:
    profiles = "".join(f'[profile.{name}]\nsources = "{tmp_path}"\nto = "host:/{name}"\n' for name in "abc")
    done = asked("config", "check", "--config", str(written(tmp_path, f'[hooks]\nbefor = "true"\n{profiles}')))
    assert done.exit_code == 2
    assert done.output.count("error: ") == 1


@pytest.mark.parametrize("words", [["--json", "--profile", "a"], ["--profile", "a", "--json"]], ids=" ".join)
def test_what_is_wrong_with_a_profile_is_json_where_that_is_wanted(tmp_path: Path, words: list[str]) -> None:
    config = written(tmp_path, '[profile.a]\ntoo = "host:/b"\n')
    done = asked("run", "--config", str(config), *words)
    assert done.exit_code == 2
    line, said = done.output.splitlines()
    event = json.loads(line)
    assert (event["event"], event["error"], event["exit_code"]) == ("error", "SettingsError", 2)
    assert "there is no setting 'too'" in event["message"]
    assert "there is no setting 'too'" in said
