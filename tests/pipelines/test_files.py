"""Outputs are written whole or not at all."""

from pathlib import Path

import pandas as pd
import pytest

from features.errors import ConfigError
from pipelines.files import is_file, replaced_when_done, require_folder, write_table, write_text


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_table_is_written_whole_and_nothing_else(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"sample_id": ["001", "é"], "value": [0.5, None]})
    write_table(table, tmp_path / "new" / "folder" / name)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [name]
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    kwargs = {} if name.endswith("parquet") else {"dtype": {"sample_id": str}}
    found = read(tmp_path / "new" / "folder" / name, **kwargs)
    pd.testing.assert_frame_equal(found, table, check_dtype=False)


def _fail_half_way(path: Path, error: BaseException) -> None:
    with replaced_when_done(path) as temporary:
        temporary.write_text("half a tab")
        raise error


def test_a_writer_that_fails_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="disk on fire"):
        _fail_half_way(tmp_path / "out.csv", RuntimeError("disk on fire"))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_the_earlier_file_as_it_was(tmp_path: Path) -> None:
    write_text("old", tmp_path / "out.txt")
    with pytest.raises(KeyboardInterrupt, match="stop"):
        _fail_half_way(tmp_path / "out.txt", KeyboardInterrupt("stop"))
    assert (tmp_path / "out.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_a_table_that_cannot_be_converted_leaves_no_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"mixed": [1, "text", object()]})
    with pytest.raises(Exception, match=r"mixed|object|convert"):
        write_table(table, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with replaced_when_done(target) as path:
        path.write_text("whole")
        assert not target.exists()
        assert path.parent == target.parent
    assert target.read_text() == "whole"


def test_a_target_that_is_a_folder_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(ConfigError, match=r"out\.csv cannot be written: .*choose another output"):
        write_text("text", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_full_disk_is_a_message_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out\.csv cannot be written: .*No space left"):
        _fail_half_way(tmp_path / "out.csv", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_a_message_and_not_hidden_by_the_cleaning_up(
    tmp_path: Path,
) -> None:
    # Fixed: removing the temporary file raised NotADirectoryError over the message.
    (tmp_path / "file").write_text("I am a file")
    for path in (tmp_path / "file" / "out.csv", tmp_path / "file" / "deeper" / "out.csv"):
        with pytest.raises(ConfigError, match=r"out\.csv cannot be written"):
            write_text("text", path)
    assert (tmp_path / "file").read_text() == "I am a file"


def test_a_name_too_long_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written: .*too long"):
        write_text("text", tmp_path / ("x" * 300 + ".csv"))


def test_an_output_folder_is_refused_before_the_work_when_it_cannot_be_made(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("I am a file")
    require_folder(tmp_path)
    require_folder(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(ConfigError, match=r"cannot be written: .*choose another output"):
            require_folder(path)


def test_no_path_raises_when_it_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert is_file(tmp_path / "file")
    for name in ("", "none", "x" * 300, "a\0b", "file/deeper"):
        assert not is_file(tmp_path / name)
