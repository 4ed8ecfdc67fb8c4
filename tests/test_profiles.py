"""Configuration files: what is read from them, what is wrong with them, and what is added to them."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backup.errors import SettingsError
from async_backup.profiles.finding import find
from async_backup.profiles.lines import lines_of
from async_backup.profiles.model import check_name
from async_backup.profiles.reading import load, parse
from async_backup.profiles.writing import add_profile
from tests.configurations import written

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path("config.toml")


def values(text: str, name: str | None = None) -> dict[str, object]:
    return {key: value.value for key, value in parse(text, FILE).resolved(name).items()}


def error_of(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text, FILE)
    return str(caught.value)


INHERITING = """\
[defaults]
workers = 2
level = 1

[profile.base]
level = 2
port = 22

[profile.nightly]
extends = "base"
port = 2222
"""


def test_a_profile_has_its_own_settings_then_those_it_extends_then_the_defaults() -> None:
    assert values(INHERITING, "nightly") == {"workers": 2, "level": 2, "port": 2222}
    assert values(INHERITING) == {"workers": 2, "level": 1}
    assert parse(INHERITING, FILE).names() == ("base", "nightly")


def test_each_value_knows_the_line_and_the_section_that_it_is_from() -> None:
    resolved = parse(INHERITING, FILE).resolved("nightly")
    assert {key: (str(value.place), value.place.section) for key, value in resolved.items()} == {
        "workers": ("config.toml:2", "defaults"),
        "level": ("config.toml:6", "profile base"),
        "port": ("config.toml:11", "profile nightly"),
    }


def test_hooks_of_a_profile_stand_before_the_global_ones_each_by_its_name() -> None:
    text = '[hooks]\nbefore = "a"\nafter = "b"\n[profile.x.hooks]\nafter = ["c", "d"]\n'
    assert parse(text, FILE).hooks("x") == {"before": "a", "after": ["c", "d"]}
    assert parse(text, FILE).hooks() == {"before": "a", "after": "b"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x.y = 3", 1),
        ("# first\n\n[x]\n\n  y = [\n 'y = 1',\n # ]\n]\n", 5),
        ('[z]\ns = """\n[x]\ny = 1\n"""\n[x]\ny = 1\n', 7),
        ("[z]\r\na = '''\r\ny'''\r\n[x]\r\ny = 1\r\n", 5),
        ("x = { y = 1 }", 1),
        ("[x] # [z]\n'y' = {\ta=1}\n", 2),
        ("[x.z]\na=1\n[x]\n# y = 1\ny = 2", 5),
    ],
)
def test_the_line_of_a_key_is_the_one_that_its_statement_begins_in(text: str, line: int) -> None:
    assert lines_of(text)["x", "y"] == line


def test_a_statement_of_very_many_lines_costs_no_time_and_hides_only_lines() -> None:
    text = "[defaults]\nexclude = [\n" + "'[a]',\n" * 50_000 + "]\nlevel = 3\n"
    assert lines_of(text) == {("defaults",): 1}
    assert str(parse(text, FILE).resolved()["level"].place) == "config.toml"


KEYS = st.text("abz-_", min_size=1, max_size=3)
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
TABLES = st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4)


@given(TABLES)
def test_what_add_profile_writes_is_read_again(tmp_path: Path, table: Mapping[str, object]) -> None:
    table = {key: value for key, value in table.items() if key not in {"extends", "hooks"}}
    file = tmp_path / "config.toml"
    file.unlink(missing_ok=True)
    add_profile(file, "first", {"workers": 1})
    add_profile(file, "new", table)
    profiles = load(file)
    assert {key: value.value for key, value in profiles.section("new").values.items()} == table
    assert all(value.place.line > 3 for value in profiles.section("new").values.values())


@pytest.mark.parametrize("end", ["", "\n", "\n# the end"])
def test_add_profile_leaves_every_byte_that_is_there(tmp_path: Path, end: str) -> None:
    before = f"# mine\n[defaults]   # é\nworkers=3{end}"
    file = written(tmp_path, before)
    add_profile(file, "nightly", {"to": ["a:/b"], "key": Path("/k"), "port": None})
    assert file.read_text().startswith(before)
    assert values(file.read_text(), "nightly") == {"workers": 3, "to": ["a:/b"], "key": "/k"}


def test_add_profile_keeps_the_line_ends_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"[defaults]\r\nworkers = 3\r\n")
    add_profile(file, "nightly", {"port": 22})
    assert file.read_bytes().count(b"\n") == file.read_bytes().count(b"\r\n")


def test_a_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "deep" / "new.toml", written(tmp_path, "")
    old.chmod(0o644)
    for file in (new, old):
        add_profile(file, "nightly", {})
    assert [stat.S_IMODE(file.stat().st_mode) for file in (new, old)] == [0o600, 0o644]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.toml", "deep", "new.toml"]


def test_add_profile_writes_through_a_symbolic_link(tmp_path: Path) -> None:
    file = written(tmp_path, "", "real.toml")
    (tmp_path / "link.toml").symlink_to("real.toml")
    add_profile(tmp_path / "link.toml", "nightly", {"port": 1})
    assert (tmp_path / "link.toml").is_symlink()
    assert values(file.read_text(), "nightly") == {"port": 1}


@pytest.mark.parametrize(
    ("before", "name", "value"),
    [
        ("[profile.nightly]", "nightly", 1),
        ("not toml", "nightly", 1),
        ("profile = {}", "nightly", 1),
        ("", "a/b", 1),
        ("", "nightly", "\udcff"),
        ("", "nightly", object()),
    ],
)
def test_add_profile_that_fails_changes_nothing(tmp_path: Path, before: str, name: str, value: object) -> None:
    file = written(tmp_path, before)
    with pytest.raises(SettingsError):
        add_profile(file, name, {"x": value})
    assert file.read_text() == before
    assert os.listdir(tmp_path) == ["config.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults", "config.toml:1: not valid TOML"),
        ("[defaults]\nlevel = 1\nlevel = 2\n", "config.toml:3: not valid TOML: Cannot overwrite a value"),
        ("[defaults]\n\nlevel = 0x\n", "config.toml:3: not valid TOML"),
        ("x = " + "[" * 50_000, "nested too deeply"),
        ("level = 1", "config.toml:1: 'level' stands in no section"),
        ("\n[default]\nlevel = 1", "config.toml:2: there is no section [default]; did you mean defaults?"),
        ("[nightly]\nlevel = 1", "a profile would be [profile.nightly]"),
        ("profile = 3", "config.toml:1: profile has to be a table"),
        ("[profile]\nnightly = 3", "config.toml:2: profile.nightly has to be a table"),
        ("[[profile]]\nlevel = 3", "config.toml:1: profile has to be a table"),
        ("[hooks]\n[profile.x]\nhooks = 'a'", "config.toml:3: profile.x.hooks has to be a table"),
        ("[profile.'a b']", "config.toml:1: 'a b' cannot name a profile"),
        ("[defaults]\nextends = 'x'", "config.toml:2: only a profile can extend"),
        ("[defaults.hooks]", "config.toml:1: hooks for all profiles stand in [hooks]"),
        ("[profile.x]\nextends = 3", "config.toml:2: extends has to be the name"),
        ("[profile.nightly]\n[profile.x]\nextends = 'nigthly'", "config.toml:3: profile x extends 'nigthly'"),
        ("[profile.x]\nextends = 'x'", "config.toml:2: profiles extend each other in a circle: x -> x"),
        ("[profile.x]\nsource = 'a'\nsources = 'b'", "config.toml:2: source and sources are the same setting"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    assert message in error_of(text)


def test_a_circle_is_named_whole_though_it_is_entered_from_outside() -> None:
    text = "[profile.a]\nextends='b'\n[profile.b]\nextends='c'\n[profile.c]\nextends='b'\n"
    assert "b -> c -> b" in error_of(text)


@given(st.text("[]{}='\".#\nadefultsprohk 1\t\\", max_size=60))
def test_any_text_is_profiles_or_a_settings_error(text: str) -> None:
    try:
        profiles = parse(text, FILE)
    except SettingsError:
        return
    for name in (None, *profiles.names()):
        assert set(profiles.resolved(name)) >= set(profiles.defaults.values)


@given(TABLES, st.dictionaries(KEYS, TABLES, max_size=3))
def test_lines_are_found_for_every_key_of_any_document(table: dict[str, object], tables: dict[str, object]) -> None:
    import tomlkit

    text = tomlkit.dumps({"defaults": table, "profile": tables})
    lines = lines_of(text)
    for key, value in table.items():
        alone = text.split("\n")[lines["defaults", key] - 1]
        assert tomllib.loads(alone) == {key: value}


def test_what_is_no_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"# a\n# \xff\n")
    with pytest.raises(SettingsError, match=r"config.toml:2: this is not UTF-8"):
        load(tmp_path / "config.toml")


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf[profile.x]\n")
    assert load(tmp_path / "config.toml").names() == ("x",)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "missing")
    with pytest.raises(SettingsError, match="cannot be read: Input/output error"):
        load(Path("/proc/self/mem"))
    with pytest.raises(SettingsError, match="too large"):
        load(Path("/dev/zero"))


def test_the_first_usual_file_that_is_there_is_read(tmp_path: Path) -> None:
    there = written(tmp_path, "")
    assert find(None, [tmp_path / "missing", there]) == there
    assert find(None, [tmp_path / "missing"]) is None
    with pytest.raises(SettingsError, match="async-backup init"):
        find(tmp_path / "missing", [there])


def test_an_unknown_profile_is_an_error_that_names_a_near_one() -> None:
    with pytest.raises(SettingsError, match="did you mean nightly"):
        parse("[profile.nightly]", FILE).resolved("nigtly")
    with pytest.raises(SettingsError, match="it has base, nightly"):
        parse(INHERITING, FILE).resolved("zzz")


@pytest.mark.parametrize("name", ["", ".x", "-x", "a b", "a/b", "é", "a\n", "x" * 65])
def test_a_name_that_cannot_be_part_of_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        check_name(name)
