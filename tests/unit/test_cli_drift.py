"""`mendloop drift` answers with exit codes, JSON, HTML and errors that say what to do."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.drift import drift
from tools.errors import Invalid


def _frame(seed: int, mean: float = 0.0, rows: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(mean, 1, rows), "shop": rng.choice(list("ab"), rows)})
    frame.loc[:9, "size"] = np.nan
    return frame


@pytest.fixture
def files(tmp_path: Path) -> Path:
    _frame(0).to_csv(tmp_path / "before.csv", index=False)
    _frame(1).to_parquet(tmp_path / "same.parquet")
    _frame(2, mean=1.0).to_csv(tmp_path / "moved.csv", index=False)
    return tmp_path


def _run(*args: object) -> Result:
    """What the command returns becomes the process's exit code."""
    arguments = [str(a) for a in args]
    return CliRunner().invoke(drift, arguments, standalone_mode=False, catch_exceptions=False)


def _refused(*args: object) -> str:
    with pytest.raises(Invalid) as refusal:
        CliRunner().invoke(
            drift, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
        )
    return str(refusal.value)


def test_nothing_shifted(files: Path) -> None:
    """Exit code 0, CSV against Parquet."""
    result = _run(files / "before.csv", files / "same.parquet")

    assert result.return_value == 0
    assert "nothing shifted (1,500 against 1,500 rows" in " ".join(result.output.split())


def test_a_shift_is_named(files: Path) -> None:
    """Exit code 1, and the JSON that scripts read."""
    result = _run(files / "before.csv", files / "moved.csv", "--json")
    answer = json.loads(result.output)

    assert result.return_value == 1
    assert answer["shifted"] == ["size"]
    assert answer["rows"] == {"reference": 1500, "current": 1500}
    assert (answer["alpha"], answer["tolerance"]) == (0.01, 0.05)
    assert answer["features"]["size"]["verdict"] == "yes"
    assert answer["features"]["shop"]["verdict"] in ("no", "unknown")
    assert answer["joint"]["verdict"] == "yes"
    assert answer["joint"]["p_value"] < 0.01


def test_the_answer_is_the_same_every_time(files: Path) -> None:
    """Sampling and the classifier are seeded."""
    args = (files / "before.csv", files / "moved.csv", "--json", "--seed", "3")

    assert _run(*args).output == _run(*args).output


class _Page(HTMLParser):
    """Collects what a page would load and the figures it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.figures += tag == "svg"
        self.loads += [v for k, v in values.items() if k in ("src", "href") and v and v[0] != "#"]


def test_the_report_stands_alone(files: Path) -> None:
    """Plots inside, nothing loaded, names from the data escaped."""
    for name in ("before.csv", "moved.csv"):
        frame = pd.read_csv(files / name).rename(columns={"shop": "<script>$x</script>"})
        frame.to_csv(files / name, index=False)
    _run(files / "before.csv", files / "moved.csv", "--html", files / "r.html", "--no-joint")
    text = (files / "r.html").read_text()
    page = _Page()
    page.feed(text)

    assert page.figures == 3
    assert page.loads == []
    assert "<script" not in text
    assert "1 of 2 columns shifted" in text


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"size,shop\n", "has no rows"),
        ("other.csv", b"weight\n1\n", "no columns in common"),
        ("types.csv", b"size,shop\nbig,a\nsmall,b\n", "size: the types differ"),
        ("null.csv", b"size,shop\n,\n,\n", "all values of all columns are missing"),
        ("cut.parquet", b"PAR1 and then the disk was full", "cannot be read as Parquet"),
        ("notes.docx", b"hello", "neither .csv nor .parquet"),
    ],
)
def test_wrong_files_are_named(files: Path, name: str, content: bytes, says: str) -> None:
    """Never a traceback; always the file."""
    (files / name).write_bytes(content)

    message = _refused(files / "before.csv", files / name)

    assert says in message
    assert name in message


def test_missing_files_folders_and_rates(files: Path) -> None:
    """What cannot be opened, and figures outside their range."""
    good = files / "before.csv"

    assert "No such file" in _refused(files / "none.csv", good)
    assert "is a folder" in _refused(good, files)
    assert "alpha: expected a rate" in _refused(good, good, "--alpha", "0.9")
    assert "finite" in _refused(good, good, "--tolerance", "nan")
    assert "cannot be written" in _refused(good, good, "--html", files / "no" / "r.html")


def test_a_column_that_stopped_arriving_has_shifted(files: Path) -> None:
    """An empty column takes the other file's type."""
    frame = _frame(4)
    frame["size"] = np.nan
    frame.to_csv(files / "gone.csv", index=False)
    answer = json.loads(_run(files / "before.csv", files / "gone.csv", "--json").output)

    assert answer["shifted"] == ["size"]
    assert answer["features"]["size"]["null_rate"] == 1.0


def test_brackets_in_a_file_name_are_no_pattern(files: Path) -> None:
    """The query engine would read other files than the one that was named."""
    _frame(5).to_csv(files / "day[1].csv", index=False)
    _frame(6, mean=9.0).to_csv(files / "day1.csv", index=False)

    assert _run(files / "before.csv", files / "day[1].csv").return_value == 0


@pytest.fixture
def labelled(files: Path) -> Path:
    """The same inputs; later, twice as many are late, and the scores follow."""
    rng = np.random.default_rng(7)
    for name, seed, rate in (("then.csv", 8, 0.2), ("now.csv", 9, 0.5)):
        frame = _frame(seed)
        frame["late"] = (rng.uniform(size=len(frame)) < rate).astype(int)
        frame["score"] = rng.beta(2, 2 / rate, len(frame))
        frame["kind"] = np.where(frame["late"] == 1, "late", "on time")
        frame.to_csv(files / name, index=False)
    return files


def test_label_and_score_have_verdicts_of_their_own(labelled: Path) -> None:
    """Not among the inputs, not in the joint test, and enough for exit code 1."""
    paths = labelled / "then.csv", labelled / "now.csv"
    frames = [pd.read_csv(path).drop(columns="kind") for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        frame.to_csv(path, index=False)
    result = _run(*paths, "--label", "late", "--score", "score", "--json")
    answer = json.loads(result.output)

    assert result.return_value == 1
    assert answer["shifted"] == []
    assert set(answer["features"]) == {"size", "shop"}
    assert answer["label"]["verdict"] == "yes"
    assert answer["score"]["verdict"] == "yes"
    assert answer["joint"]["verdict"] == "unknown"


def test_a_label_of_words_is_compared_as_categories(labelled: Path) -> None:
    answer = json.loads(
        _run(
            labelled / "then.csv", labelled / "now.csv", "--label", "kind", "--no-joint", "--json"
        ).output
    )

    assert (answer["label"]["kind"], answer["label"]["verdict"]) == ("category", "yes")


def test_the_page_names_the_label(labelled: Path) -> None:
    page = labelled / "r.html"
    _run(labelled / "then.csv", labelled / "now.csv", "--label", "late", "--html", page)

    assert "late (label)" in page.read_text(encoding="utf-8")


def test_a_label_that_is_not_there_is_named_with_what_is(labelled: Path) -> None:
    """In either file; and one without any value says nothing."""
    then, now = labelled / "then.csv", labelled / "now.csv"
    assert "--label: " in _refused(then, now, "--label", "delayed")
    assert "has no column 'delayed'; it has size, shop, late" in _refused(
        then, now, "--label", "delayed"
    )
    assert "before.csv has no column 'late'" in _refused(
        then, labelled / "before.csv", "--label", "late"
    )
    frame = pd.read_csv(now)
    frame["late"] = np.nan
    frame.to_csv(labelled / "unlabelled.csv", index=False)
    assert "'late' in" in _refused(then, labelled / "unlabelled.csv", "--label", "late")
    assert "holds no value" in _refused(then, labelled / "unlabelled.csv", "--label", "late")
    pd.DataFrame({"late": [0, 1] * 50}).to_csv(labelled / "only.csv", index=False)
    only = labelled / "only.csv"
    assert "no column beside the label" in _refused(only, only, "--label", "late")


def test_row_numbers_that_pandas_wrote_are_no_data(files: Path) -> None:
    """An index that was saved with the rows differs between any two files."""
    for name, seed, start in (("a.parquet", 0, 0), ("b.parquet", 1, 5000)):
        frame = _frame(seed)
        frame.index = pd.Index([start + 3 * row for row in range(len(frame))])
        frame.to_parquet(files / name)
    result = _run(files / "a.parquet", files / "b.parquet", "--json")
    answer = json.loads(result.output)

    assert result.return_value == 0
    assert answer["skipped"] == {"__index_level_0__": "row numbers that pandas wrote"}
