"""Reads a plain file into a recording: finds out what it can, says what it found, refuses the rest.

Nothing of a row but its inputs is looked at before its label is known; what is inferred from the
whole file (types, constant columns, the task) is what its schema would say.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.backtest.columns import Features, add_feature, find_time, parse_time
from simulations.backtest.recording import Recording, Task, known_after_rows, known_after_time
from tools.data_files import read_table
from tools.errors import Invalid

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 100
START_SHARE = 0.1
ENOUGH = 100
"""Rows to start with in a short recording, where they are no more than a third of it."""
MIN_START = 30
MOST_CLASSES = 100
_FEW = 20
"""Different numbers up to which a numeric label is a class."""


@dataclass(frozen=True)
class Question:
    """What is to be replayed, as it was asked."""

    data: str
    label: str
    time: str = ""
    delay: timedelta = timedelta(0)
    delay_rows: int = 0
    task: str = ""
    """``classification``, ``regression``, or empty to find out."""
    forbidden: tuple[str, ...] = ()
    """Columns that leak the label."""
    only: tuple[str, ...] = ()
    """The features, where a document names them."""


def read_recording(question: Question) -> Recording:
    """The recording of a file. Raises Invalid that says what is wrong, where, and what to do."""
    _refuse_twice_named(question.data)
    frame = read_table(question.data)
    _must_have(frame, question)
    notes: list[str] = []
    frame = _with_labels(frame, question.label, notes)
    time = question.time or find_time(frame, question.label)
    frame, moments = _ordered(frame, time, notes, is_asked=bool(question.time))
    if question.delay and moments is None:
        raise Invalid(
            "a delay in time needs a time column: name it with --time, or use --label-delay-rows",
            field="--label-delay",
        )
    labels, classes, task = _labels(frame[question.label], question)
    start = _start(labels, task, notes)
    features = _features(frame, question, time, moments, start)
    known = (
        known_after_time(moments, question.delay)
        if moments is not None and question.delay
        else known_after_rows(len(frame), question.delay_rows)
    )
    return Recording(
        name=question.data,
        task=task,
        inputs=features.matrix(),
        features=tuple(features.names),
        is_category=tuple(features.is_category),
        labels=labels,
        classes=classes,
        known_from=known,
        start=start,
        moments=moments,
        notes=(*notes, *features.notes),
        label=question.label,
        time_column=time,
        delay=f"{question.delay}" if question.delay else f"{question.delay_rows} rows",
        skipped=features.skipped,
    )


def _refuse_twice_named(path: str) -> None:
    """A second column of one name would be renamed silently by every reader."""
    if not path.endswith((".csv", ".csv.gz")) or "://" in path:
        return
    opener: Any = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            names = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return  # the reader says it better
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"columns named twice: {', '.join(twice)}; rename one of each", field=path)


def _must_have(frame: pd.DataFrame, question: Question) -> None:
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        said = f"columns named twice: {', '.join(twice)}; rename one of each"
        raise Invalid(said, field=question.data)
    for option, name in (("--label", question.label), ("--time", question.time)):
        if name and name not in names:
            shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
            raise Invalid(
                f"{question.data} has no such column; it has {shown}", field=f"{option} {name}"
            )
    if question.time and question.time == question.label:
        raise Invalid("is the label too; name another column", field=f"--time {question.time}")


def _with_labels(frame: pd.DataFrame, label: str, notes: list[str]) -> pd.DataFrame:
    import pandas as pd

    column = frame[label]
    missing = column.isna()
    if pd.api.types.is_float_dtype(column):
        missing |= np.isinf(column)
    if missing.any():
        notes.append(f"{int(missing.sum()):,} rows without a label are left out")
        frame = frame[~missing]
    if len(frame) < MIN_ROWS:
        raise Invalid(
            f"{len(frame):,} rows have a label, at least {MIN_ROWS} are needed: a model is fitted"
            " on the first tenth",
            field=f"--label {label}",
        )
    return frame


def _ordered(
    frame: pd.DataFrame, time: str, notes: list[str], *, is_asked: bool
) -> tuple[pd.DataFrame, Any]:
    """The rows by their time, where there is one; else as they stand."""
    if not time:
        notes.append("no time column: the rows count as being in order")
        return frame, None
    moments = parse_time(frame, time)
    if moments.isna().any():
        notes.append(f"{int(moments.isna().sum()):,} rows without a time are left out")
        frame, moments = frame[moments.notna()], moments.dropna()
    if not is_asked:
        notes.append(f"{time} is taken as the time; --time says otherwise")
    if not moments.is_monotonic_increasing:
        notes.append(f"the rows are put into the order of {time}")
        order = np.argsort(moments.to_numpy(), kind="stable")
        frame, moments = frame.iloc[order], moments.iloc[order]
    return frame, moments.to_numpy()


def _labels(column: pd.Series[Any], question: Question) -> tuple[Any, tuple[str, ...], Task]:
    import pandas as pd

    where = f"--label {question.label}"
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise Invalid("holds times; expected classes or numbers", field=where)
    if pd.api.types.is_object_dtype(column):
        column = column.map(lambda value: value if np.isscalar(value) else str(value))
    distinct = column.nunique()
    if distinct < 2:
        raise Invalid(f"is always {column.iloc[0]}: there is nothing to predict", field=where)
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if not is_number and not pd.api.types.is_bool_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().all():
            column, is_number, distinct = numbers, True, numbers.nunique()
    task = question.task or ("regression" if is_number and distinct > _FEW else "classification")
    if task == "regression":
        if not is_number:
            raise Invalid(f"holds texts such as {column.iloc[0]!r}; expected numbers", field=where)
        return column.to_numpy(dtype=float), (), Task.REGRESSION
    if distinct > MOST_CLASSES:
        raise Invalid(
            f"has {distinct:,} different values, at most {MOST_CLASSES} classes can be told apart;"
            " is it an identifier, or a number (--task regression)?",
            field=where,
        )
    texts = column.astype(str)
    classes = tuple(sorted(texts.unique(), key=_natural))
    codes = {name: float(code) for code, name in enumerate(classes)}
    task_found = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    return texts.map(codes).to_numpy(dtype=float), classes, task_found


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _start(labels: Any, task: Task, notes: list[str]) -> int:
    """The first tenth, and more where it shows one class only."""
    start = max(round(START_SHARE * len(labels)), min(ENOUGH, len(labels) // 3))
    if np.ptp(labels[:start]) == 0:
        first_other = int(np.argmax(labels != labels[0]))
        start = first_other + MIN_START
        if start > len(labels) - MIN_START:
            raise Invalid(
                f"the first {first_other:,} of {len(labels):,} rows have one and the same label:"
                " there is nothing to learn before the end"
            )
        notes.append(f"the first {start:,} rows are the start: the label is constant before")
    return start


def _features(
    frame: pd.DataFrame, question: Question, time: str, moments: Any, start: int
) -> Features:
    import pandas as pd

    features = Features()
    if moments is not None:
        when = pd.Series(moments)
        for name, values in (
            (f"{time}: minute of the day", when.dt.hour * 60 + when.dt.minute),
            (f"{time}: day of the week", when.dt.dayofweek),
        ):
            if values.nunique() > 1:
                features.add(name, values.to_numpy(dtype=float))
    for name in map(str, frame.columns):
        if name in (question.label, time):
            continue
        if name in question.forbidden or (question.only and name not in question.only):
            features.skipped[name] = "not among the document's columns"
            continue
        add_feature(features, name, frame[name], start)
    return features
