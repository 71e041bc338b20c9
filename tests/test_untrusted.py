"""The gate for files from outside: what is usable comes out whole, all else ends in one line before it costs much."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hostile.mutate_zip import FIELDS, field_changed, header, members_of, zipped

from flow.core.errors import ReportError
from flow.core.untrusted import DAMAGE, parse_xml, read_yaml, refused
from flow.extract import model_reader
from keras_models import untrusted
from keras_models.untrusted import (
    Unusable,
    digest,
    one_line,
    parse_json,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
)


def test_json_that_is_fine_comes_out_as_it_is():
    data = {"a": [1, -2.5e300, 'é \U0001f600 [[[ \\ " {', None, True], "b": {"c": [[[]]]}, "": 10**99}
    for text in (json.dumps(data), json.dumps(data, ensure_ascii=False), json.dumps(data, indent=2)):
        assert parse_json(text, "x") == data
        assert parse_json(b"\xef\xbb\xbf" + text.encode(), "x") == data
    nested = "[" * 64 + "]" * 64
    assert parse_json(nested, "x") == json.loads(nested)
    assert np.isnan(parse_json("[NaN]", "x", finite=False)[0])


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[1,]", "{'a': 1}", "[1] 2", "[" * 65 + "]" * 65, "[" * 10**6, '{"a":' * 65 + "1" + "}" * 65, "[NaN]",
        "[-Infinity]", "[1e999]", "[-1E+0400]", "[" + "9" * 101 + "]", "[0." + "3" * 200 + "]", '{"a": 1, "a": 1}',
        '["\\ud800"]', '["\\uDC00x"]', '["\ud800"]', b"\xff", "[1]".encode("utf-16"), '["\x01"]', '"' * 10**6,
        '"' + '\\"' * 10**6, None, 3,
    ],
)  # fmt: skip
def test_json_that_is_not_is_one_line(text):
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(Unusable, match=r"^here is not usable JSON") as caught:
        parse_json(text, "here")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - used < 5


def test_json_is_bounded(tmp_path):
    with pytest.raises(Unusable, match="8 bytes"):
        parse_json("[      ]", "x", limit=7)
    with pytest.raises(Unusable, match="brackets"):
        parse_json("[[],[],[],[],[]]", "x", limit=64)
    (tmp_path / "a.json").write_text("[1, 2]")
    assert read_json(tmp_path / "a.json") == [1, 2]
    with pytest.raises(Unusable, match="6 bytes, more than the 5"):
        read_json(tmp_path / "a.json", limit=5)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "X": rng.normal(size=(30, 4)).astype(np.float32),
        "F": np.asfortranarray(rng.normal(size=(3, 5))),
        "big": rng.integers(0, 9, (7000, 3)),
        "scalar": np.float64(3),
        "text": np.array("a state"),
        "none": np.zeros((0, 3)),
        "other": np.arange(4, dtype=">i2"),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_that_are_fine_come_out_as_they_are(tmp_path, save):
    save(tmp_path / "a.npz", **arrays())
    found = read_arrays(tmp_path / "a.npz")
    assert set(found.names) == set(arrays())
    for name, array in arrays().items():
        np.testing.assert_array_equal(found.values[name], array)
        assert found.values[name].dtype == np.asarray(array).dtype
    assert set(read_arrays(tmp_path / "a.npz", ["X", "absent"]).values) == {"X"}


@contextmanager
def memory(more: int) -> Iterator[None]:
    """At most so many bytes more than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(path: Path, content: bytes, **options: object) -> str:
    path.write_bytes(content)
    with pytest.raises(Unusable) as caught:
        read_arrays(path, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (header("'<f4'", "(10**6, 10**6)"), "not a readable"),
        (header("'<f4'", "(1000000, 1000000)"), "does not fit the"),
        (header("'<f4'", "(-1, 3)") + bytes(12), "does not fit the"),
        (header("'|O'", "(3,)") + bytes(24), "type object"),
        (header("[('a', '<f4')]", "(3,)") + bytes(12), "values of type"),
        (header("'<f4'", "(3,)", version=3) + bytes(12), "version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "not a readable"),
        (b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10000, "not a readable"),
        (header("'<f4'", "(3,)") + bytes(11), "does not fit the"),
        (b"a text", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_arrays_with_odd_headers_are_refused(tmp_path, member, words):
    assert words in refusal(tmp_path / "a.npz", zipped({"X.npy": member}))


def test_archives_that_inflate_are_refused_before(tmp_path):
    rows = 300_000_000 // 12
    bomb = zipped({"X.npy": header("'<f4'", f"({rows}, 3)") + bytes(12 * rows)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    with memory(64 << 20):
        assert "300000" in refusal(tmp_path / "a.npz", bomb)
    packed = zipped(members_of({"X": np.zeros(100_000)}), zipfile.ZIP_DEFLATED)
    assert "800128 bytes of arrays" in refusal(tmp_path / "a.npz", packed, limit=99_999)


def test_bent_archives_are_read_or_refused(tmp_path):
    """Bits flipped, which the checksums notice where they matter, and every number of an entry changed."""
    good, refused_ones = zipped(members_of({"X": np.arange(9.0), "y": np.arange(9)}), zipfile.ZIP_DEFLATED), 0
    for seed in range(400):
        rng = random.Random(seed)
        content = bytearray(good)
        if seed % 2:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        else:
            _, content = field_changed(rng, good, "X.npy", sorted(FIELDS)[seed // 2 % len(FIELDS)])
        (tmp_path / "a.npz").write_bytes(content)
        try:
            found = read_arrays(tmp_path / "a.npz").values
            assert all((array == np.arange(9)).all() for array in found.values())
        except Unusable as exc:
            refused_ones += 1
            assert "\n" not in str(exc) and len(str(exc)) < 400
    assert 150 < refused_ones < 380


def test_what_is_no_file_is_never_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    words = {
        "pipe": "not a regular file", "zero": "not a regular file", "loop": "cannot be read", ".": "is a folder",
        "large": "1099511627776 bytes", "absent": "does not exist", "n" * 300: "cannot be read",
        "a\0b": "cannot be read", "large/x": "cannot be read",
    }  # fmt: skip
    for name, said in words.items():
        for read in (read_bytes, digest, read_text):
            with pytest.raises(Unusable, match=said):
                read(f"{tmp_path}/{name}", 1000)
        with pytest.raises(Unusable, match=said):
            read_arrays(f"{tmp_path}/{name}")


def test_files_without_a_size_are_bounded():
    with pytest.raises(Unusable, match="more than the 10 bytes"):
        read_bytes("/proc/self/status", 10)
    assert len(read_bytes("/proc/self/status", 1 << 20)) > 10


def test_reading_takes_no_more_memory_than_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    with memory(64 << 20):
        assert len(read_bytes(tmp_path / "a", 1 << 34)) == 1000


def test_one_place_turns_everything_into_one_line():
    errors = (OSError(5, "odd"), KeyError("a"), *(kind("odd\nodd") for kind in DAMAGE))
    for error in errors:
        with pytest.raises(ReportError, match=r"x\.rpt") as caught, refused(ReportError, "x.rpt", "do that"):
            raise error
        assert str(caught.value).endswith("; do that") and "\n" not in str(caught.value)
    with pytest.raises(ReportError, match=r"^mine$"), refused(ReportError, "x.rpt", "do that"):
        raise ReportError("mine")


def test_lines_for_a_terminal():
    assert one_line("a\n\x1b[31m\u202eb\udc80 é") == "a \\x1b[31m\\u202eb\\udc80 é"
    cut = one_line("a" * 500 + "z" * 500)
    assert len(cut) == 600 and cut.startswith("aaa") and cut.endswith("zzz") and " ... " in cut


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x", "[" * 5000, "x" * 300, "a: 2024-13-45", "a: !!python/name:os.system ''", "? [a]\n",
        "a: '\x07'", "{a: " * 40, "a: !!int x", "a: 1" + ":59" * 200,
    ],
)  # fmt: skip
def test_yaml_that_is_odd_is_one_line(tmp_path, text):
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(Unusable, match=r"a\.yml is not usable YAML"):
        read_yaml(tmp_path / "a.yml")


def test_xml_declares_nothing():
    assert parse_xml("\ufeff <a><b/></a>", "x").tag == "a"
    for text in ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>", "", "<a>&b;</a>", "\0"):
        with pytest.raises(Unusable):
            parse_xml(text, "x")


def test_the_reader_of_models_has_the_same_bound():
    assert model_reader.MAX_FILE == untrusted.MAX_MODEL


def test_a_table_of_contents_is_bounded(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}" + "n" * 60_000, b"")
    assert "too many entries" in refusal(tmp_path / "a.npz", stream.getvalue())
