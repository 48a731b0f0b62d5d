"""Files appear whole or not at all, follow nobody's links, and damaged JSON is one sentence."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from walkies import files
from walkies.errors import UserError

SOURCE = Path(files.__file__).parent


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    files.write_text(path, "first\r\nline ≥")
    assert path.read_bytes() == "first\r\nline ≥".encode()

    with pytest.raises(KeyboardInterrupt), files.writing(path) as part:
        part.write_text("half")
        assert path.read_text(encoding="utf-8").startswith("first")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8").startswith("first")
    assert list(path.parent.iterdir()) == [path], "something was left behind"


def test_a_file_has_the_permissions_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_links_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")

    (tmp_path / "report.md").symlink_to(precious)
    files.write_text(tmp_path / "report.md", "report")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "report.md").is_symlink()

    # Even somebody who knew the random name gains nothing.
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "known")
    (tmp_path / ".other.known.part").symlink_to(precious)
    with pytest.raises(FileExistsError):
        files.write_text(tmp_path / "other", "report")
    assert precious.read_text() == "mine"
    # The control: the way of before writes through the link.
    (tmp_path / ".other.known.part").write_text("report")
    assert precious.read_text() == "report"


def test_what_a_kill_leaves_is_recognized(tmp_path: Path) -> None:
    with files.writing(tmp_path / "policy.json") as part:
        assert [part] == list(tmp_path.glob(files.UNFINISHED))
    assert not list(tmp_path.glob(files.UNFINISHED))


WRITES = re.compile(
    r"""\.write_text\(|\.write_bytes\(|\bopen\([^)]*["'][wax]b?\+?["']|os\.replace\(|\.savefig\(|np\.save"""
)
MAY_WRITE = {
    "files.py": "the one writer",
    "deploy/recordings/logs.py": "into what `writing` gave",
    "deploy/onnx_file.py": "into what `writing` gave",
    "lab/published/trials.py": "into what `writing` gave",
    "deploy/log.py": "a part of the robot's own program, which appends to its log",
    "deploy/wiggle.py": "into what `writing` gave",
    "show/pictures/theme.py": "into what `writing` gave",
    "tasks/motion/course_file.py": "into memory",
    "run/loggers.py": "appends to the curves, a line per iteration",
}


def test_only_one_module_writes_files() -> None:
    writers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if WRITES.search(path.read_text(encoding="utf-8"))
    }
    assert writers == set(MAY_WRITE)
    for name in ('path.write_text("x")', 'open(path, "w")', 'path.open("wb")', "os.replace(a, b)"):  # the control
        assert WRITES.search(name), name


def test_json_is_written_so_that_every_reader_takes_it(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"π": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"π": [1, 2.5, None]}
    assert files.read_json(tmp_path / "a.json", "a test") == {"π": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert files.read_json(tmp_path / "a.json", "a test") == {"π": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "damaged"),
        (b"", "damaged"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 10_000, "damaged"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0"),
    ],
)
def test_damaged_json_is_one_sentence_that_names_the_file(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        files.read_json(path, "what `walkies train` wrote")
    message = str(caught.value)
    assert str(path) in message and message.endswith("expected what `walkies train` wrote") and "\n" not in message


def test_a_byte_order_mark_is_dropped_and_missing_or_huge_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert files.read_json(path, "a test") == {"a": 1}
    with pytest.raises(UserError, match="no such file"):
        files.read_json(tmp_path / "none.json", "a test")
    with pytest.raises(UserError, match="is a directory"):
        files.read_json(tmp_path, "a test")
    with pytest.raises(UserError, match="more than"):
        files.read_text(path, "a test", limit=5)


def test_the_name_of_a_file_that_is_not_utf8_can_be_written_and_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xfcn")
    with pytest.raises(UnicodeEncodeError):
        (tmp_path / "control").write_text(name, encoding="utf-8")
    files.write_text(tmp_path / "report.md", name)
    assert (tmp_path / "report.md").read_text() == files.printable(name) == r"r\udcfcn"


def test_git_lfs_pointers_are_named_as_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:5ec0\nsize 1285538\n")
    for read in (files.read_text, files.read_json, files.refuse_pointer):
        with pytest.raises(UserError, match=r"is a Git LFS pointer.*git lfs pull.*expected a test") as caught:
            read(path, "a test")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_text("version 1")  # the control
    assert files.read_text(path, "a test") == "version 1"
    files.refuse_pointer(path, "a test")


def test_what_errors_repeat_is_short_and_printable() -> None:
    assert files.shown("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert files.shown(12) == "12"
    assert len(files.shown("x" * 1000)) == files.SHOWN


def test_a_cell_is_a_number_or_not() -> None:
    assert all(map(files.is_number, ("1", " -2.5e3 ", "nan", "1_000")))
    assert not any(map(files.is_number, ("", "1,5", "0x10", "one")))
