"""Limits on what is read: found before a file is parsed, and told in one line."""

import re
from pathlib import Path

import pytest

from conr.runs import read_json, read_yaml
from conr.runs.reading import MOST_CONFIG_BYTES, MOST_VALUES, read_bytes

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{one}: &a{one} [{','.join([f'*a{one - 1}'] * 10)}]\n" for one in range(1, 10)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{one}: &a{one} {{<<: [*a{one - 1}, *a{one - 1}]}}\n" for one in range(1, 40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "expected at most 100000 values, got 12345"),
        (MERGED, "expected at most 100000 values, got "),
        ("a: &a [*a]\n", "expected at most 100000 values, got "),
        ("a: " + "[" * 5000, "expected YAML, got a broken file: "),
        ("a: 1\n" + "#" * MOST_CONFIG_BYTES, "expected at most 1048576 bytes, got 1048581"),
        ("a: [1\n", "expected YAML, got a broken file: "),
        ("a: !!python/object/apply:os.getcwd []\n", "expected YAML, got a broken file: could not determine"),
    ],
)
def test_yaml_that_is_too_large_or_broken(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_yaml(path)


def test_yaml_with_a_few_aliases_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1.0e-3}}\n")
    assert read_yaml(tmp_path / "config.yaml") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1e-3}}


def test_json_with_too_many_values(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(f"[{'0,' * MOST_VALUES}0]")
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected JSON of at most {MOST_VALUES} values")):
        read_json(path)


def test_more_bytes_than_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected at most 4 bytes, got 5")):
        read_bytes(path, 4)
