"""Pickles of plain data are read, those of Python 2 too, and nothing else is executed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ngbench.data.pickles import load_plain
from ngbench.errors import DataError

ARRAY = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize("protocol", [3, 4])
def test_plain_data_comes_back(protocol: int) -> None:
    plain = {b"data": ARRAY, b"labels": [1, 2], b"text": "ä", b"more": (1.5, None, True, b"\xff")}
    loaded = load_plain(pickle.dumps(plain, protocol), "batch")
    np.testing.assert_array_equal(loaded.pop(b"data"), ARRAY)
    assert loaded == {key: value for key, value in plain.items() if key != b"data"}


def python2_string(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def test_array_as_python_2_pickled_it() -> None:
    """Protocol 2 with byte strings, which no pickler of Python 3 writes but which the official files are."""
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + python2_string(b"b") + b"\x87R"
    state = [b"(K\x01K\x02K\x03\x86cnumpy\ndtype\n", python2_string(b"u1"), b"K\x00K\x01\x87R"]
    dtype_state = b"(K\x03" + python2_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    contents = b"\x89" + python2_string(ARRAY.tobytes()) + b"tb"
    content = b"\x80\x02}" + python2_string(b"data") + reconstruct + b"".join(state) + dtype_state + contents + b"s."
    np.testing.assert_array_equal(load_plain(content, "batch")[b"data"], ARRAY)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_malicious_pickle_is_refused_in_one_sentence_and_executes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made"
    content = pickle.dumps({b"data": Touch(path)}, 4)
    with pytest.raises(DataError) as caught:
        load_plain(content, "batch_1")
    assert str(caught.value) == (
        f"'batch_1' asks for '{open.__module__}.open', only arrays, bytes, strings, numbers and containers of these "
        "are allowed; nothing of it was executed"
    )
    assert not path.exists()
    # The same content does harm elsewhere, so that it is the reader that prevents it.
    pickle.loads(content)[b"data"].close()
    assert path.exists()


@pytest.mark.parametrize(
    "name", ["os system", "builtins eval", "builtins getattr", "numpy load", "numpy.core.multiarray fromfile"]
)
def test_no_other_name_is_admitted(name: str) -> None:
    module, attribute = name.split()
    with pytest.raises(DataError, match=f"asks for '{module}.{attribute}'"):
        load_plain(f"c{module}\n{attribute}\n.".encode(), "batch")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({b"data": ARRAY})[:-9], b"\x80\x04\x97."])
def test_damage_is_one_sentence(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^'batch' is truncated or corrupt; delete it and get it again$"):
        load_plain(content, "batch")


@pytest.mark.parametrize("dtype", ["O", [("a", "O")], [("a", "u1")], "V8", "M8[s]", "U3"])
def test_arrays_of_anything_but_numbers_are_refused(dtype: Any) -> None:
    with pytest.raises(DataError, match=r"asks for .numpy\.dtype"):
        load_plain(pickle.dumps({b"data": np.zeros(3, dtype)}, 4), "batch")


def test_an_array_of_objects_with_a_short_list_is_refused_before_it_is_made() -> None:
    # What numpy would take for three objects, of which there is one.
    content = pickle.dumps(np.array([7, 8, 9], dtype=object), 3)
    short = content.replace(b"K\x07K\x08K\t", b"K\x07")
    assert short != content
    with pytest.raises(DataError, match=r"asks for .numpy\.dtype"):
        load_plain(short, "batch")


def test_a_state_does_not_make_objects_of_numbers() -> None:
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    # The last of the type's state are its flags; 63 says that it holds objects.
    dtype = b"cnumpy\ndtype\n(S'u8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI63\ntb"
    content = empty + b"(I1\n(I3\nt" + dtype + b"I00\n(lp1\nNatb."
    # In a process of its own, which numpy would end.
    code = f"from ngbench.data.pickles import load_plain; load_plain({content!r}, 'batch')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "asks for 'an array of something else than numbers'" in done.stderr


@pytest.mark.parametrize("dtype", ["<f8", ">f4", ">u2", "?", "<c16", "|i1"])
def test_numbers_come_back_in_either_byte_order(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for stored in (array, np.asfortranarray(array)):
        loaded = load_plain(pickle.dumps(stored, 4), "batch")
        assert (loaded.dtype.kind, loaded.dtype.itemsize) == (array.dtype.kind, array.dtype.itemsize)
        np.testing.assert_array_equal(loaded, array)
