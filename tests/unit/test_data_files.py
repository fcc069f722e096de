"""Reading and pinning tables: the content is what its digest says, errors say what is wrong."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pytest

from tools.data_files import file_digest, pin_table, read_table
from tools.errors import Invalid, Refused, Unavailable

FRAME = pd.DataFrame({"code": ["007", "042"], "value": [1.5, None]})


def test_a_pin_is_named_by_its_content(tmp_path: Path) -> None:
    """The same frame gives the same file; reading it by its digest gives the frame."""
    pin = pin_table(FRAME, tmp_path / "pins")
    again = pin_table(FRAME.copy(), tmp_path / "pins")

    assert pin == again
    assert pin.rows == 2
    assert Path(pin.uri).name == f"{pin.digest}.parquet"
    assert file_digest(Path(pin.uri)) == pin.digest
    pd.testing.assert_frame_equal(read_table(pin.uri, digest=pin.digest), FRAME)
    assert len(list((tmp_path / "pins").iterdir())) == 1


def test_a_damaged_pin_is_written_anew(tmp_path: Path) -> None:
    """A half-written file of an earlier crash does not stay."""
    pin = pin_table(FRAME, tmp_path)
    Path(pin.uri).write_bytes(b"PAR1")

    assert file_digest(Path(pin_table(FRAME, tmp_path).uri)) == pin.digest


def test_changed_content_is_refused(tmp_path: Path) -> None:
    """The message names both digests and what to do."""
    pin = pin_table(FRAME, tmp_path)

    with pytest.raises(Refused, match=f"{pin.digest}, expected 00.*pin the data again"):
        read_table(pin.uri, digest="0" * 64)


def test_codes_of_a_csv_stay_text(tmp_path: Path) -> None:
    """Also from a gzipped file and through a URL."""
    path = tmp_path / "rows.csv"
    FRAME.to_csv(path, index=False)
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    for uri in (str(path), path.as_uri(), str(packed)):
        read = read_table(uri, text_columns=["code", "absent"])
        pd.testing.assert_frame_equal(read, FRAME)
    assert read_table(str(path))["code"].tolist() == [7, 42]


def test_any_fsspec_url_is_read(tmp_path: Path) -> None:
    """Here the in-memory file system stands for object stores."""
    import fsspec

    pin = pin_table(FRAME, tmp_path)
    with fsspec.open("memory://bucket/rows.parquet", "wb") as file:
        file.write(Path(pin.uri).read_bytes())

    read = read_table("memory://bucket/rows.parquet", digest=pin.digest)
    pd.testing.assert_frame_equal(read, FRAME)
    with pytest.raises(Invalid, match=r"gone\.parquet"):
        read_table("memory://bucket/gone.parquet")
    with pytest.raises(Invalid, match="nowhere://"):
        read_table("nowhere://bucket/rows.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", None, "No such file"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"a,b\n1,2\n", "is not a Parquet file"),
        ("a.parquet", b"PAR1 and then the copy stopped", "truncated Parquet file"),
        ("a.parquet", b"PAR1 nonsense in the middle PAR1", "damaged Parquet file"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"a,b\n", "holds no rows"),
        ("a.csv", b"a,b\n1,2,3\n4,5,6,7\n", "not a readable CSV"),
        ("a.csv", b"a,b\n\xff\xfe,2\n", "not a readable CSV"),
        ("a.csv.gz", b"not gzip", "not a readable CSV"),
        ("a.xlsx", b"PK", "unknown format"),
    ],
)
def test_a_bad_file_says_what_is_wrong_with_it(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    """The message names the file."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Invalid, match=message) as caught:
        read_table(str(path))
    assert str(path) in str(caught.value)


def test_truncated_anywhere_is_an_error(tmp_path: Path) -> None:
    """Every prefix of a Parquet file is refused in words."""
    content = Path(pin_table(FRAME, tmp_path).uri).read_bytes()
    path = tmp_path / "cut.parquet"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(Invalid, match=r"cut\.parquet"):
            read_table(str(path))


def test_a_folder_or_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    """And says so."""
    (tmp_path / "a").write_bytes(b"abc")

    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(Invalid, match="cannot read"):
            file_digest(path)


def test_what_cannot_be_pinned_is_said(tmp_path: Path) -> None:
    """No rows, mixed types, a place that cannot be written."""
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(Invalid, match="no rows"):
        pin_table(FRAME.head(0), tmp_path)
    with pytest.raises(Invalid, match="Parquet"):
        pin_table(pd.DataFrame({"a": [1, "x", object()]}), tmp_path)
    with pytest.raises(Unavailable, match="cannot write"):
        pin_table(FRAME, blocked)
