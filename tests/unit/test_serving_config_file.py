"""The configuration file is followed whole, and a broken one changes nothing but is reported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from serving.config_file import ConfigFile
from tools.schema import Column, ColumnType, FeatureSchema

SCHEMA = FeatureSchema(
    time_column="departure", columns=(Column(name="temp", type=ColumnType.NUMBER),)
)


def put(path: Path, text: str) -> None:
    """Replace the file the way a mounted ConfigMap changes: by a rename."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_without_a_file_the_default_holds(path: Path) -> None:
    """No --config is fine; a --config that is not there yet is reported."""
    assert ConfigFile(None, SCHEMA).problem == ""
    missing = ConfigFile(path, SCHEMA)

    assert missing.current.masked == ()
    assert "cannot read" in missing.problem


def test_a_change_is_followed(path: Path) -> None:
    """Both ways: masked, and unmasked again."""
    put(path, "{}")
    file = ConfigFile(path, SCHEMA)
    put(path, json.dumps({"masked": ["temp"]}))
    file.poll()
    masked = file.current.masked
    put(path, "{}")
    file.poll()

    assert masked == ("temp",)
    assert file.current.masked == ()
    assert file.problem == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Invalid JSON"),
        ('{"masked": "temp"}', "masked"),
        ('{"maskd": []}', "maskd"),
        ('{"masked": ["tmep"]}', "no column tmep"),
        ("\xff\xfe", "Invalid JSON"),
    ],
)
def test_a_broken_file_keeps_the_former_configuration_and_says_so(
    path: Path, text: str, says: str
) -> None:
    """And a later good file is taken, and the report withdrawn."""
    put(path, '{"masked": ["temp"]}')
    file = ConfigFile(path, SCHEMA)
    put(path, text)
    file.poll()
    kept, problem = file.current.masked, file.problem
    path.unlink()
    file.poll()
    missing = file.problem
    put(path, '{"masked": []}')
    file.poll()

    assert kept == ("temp",)
    assert says in problem
    assert "cannot read" in missing
    assert (file.current.masked, file.problem) == ((), "")
