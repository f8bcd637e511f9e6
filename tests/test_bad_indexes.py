"""What must not harm an index, whatever its kind and however it is built: bad vectors, bad numbers, bad files, a full
disk."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lapel.core.errors import InputError, MissingDependencyError, QueryError
from lapel.core.vectors import Vectors, normalise
from lapel.engine.check import check_index
from lapel.engine.context import open_context
from lapel.indexes import MaintainedIndex, VectorIndex, choice, growing, open_index
from test_store import fill

WIDE, COUNT = 32, 700
there = importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus_lite")
MILVUS = pytest.param(
    "milvus://lite", marks=pytest.mark.skipif(not there, reason="Milvus is not installed: pip install 'lapel[milvus]'")
)
IN_FILES = [
    "exact:",
    "faiss:Flat",
    "faiss:auto",
    "faiss:HNSW16",
    "faiss:HNSW16_SQfp16",
    "faiss:IVF16,PQ8x4fs",
    pytest.param(
        "torch:cpu",
        marks=pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed"),
    ),
]
kinds = pytest.mark.parametrize("spec", [*IN_FILES, MILVUS])
kinds_in_files = pytest.mark.parametrize("spec", IN_FILES)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that 700 vectors reach, so that each kind is built and not only scanned."""
    monkeypatch.setattr(choice, "MIN_ROWS", 300)
    monkeypatch.setattr(growing, "TAIL_ROWS", 100)
    monkeypatch.setattr(choice, "MAX_EXACT_ROWS", 400)


def looks(count: int = COUNT, *, dim: int = WIDE, seed: int = 0) -> Vectors:
    return normalise(np.random.default_rng(seed).normal(size=(count, dim)))


def wait_idle(index: VectorIndex) -> None:
    if isinstance(index, MaintainedIndex):
        assert index.wait_idle(60)


def filled(spec: str, path: Path | None = None) -> VectorIndex:
    """An index of keys 0 to 699, built."""
    index = open_index(spec, dim=WIDE, path=path)
    index.add(np.arange(COUNT), looks())
    wait_idle(index)
    if spec.startswith("faiss:") and spec != "faiss:Flat":
        assert index.choice.name  # type: ignore[attr-defined]
    return index


@pytest.fixture
def index(spec: str) -> Iterator[VectorIndex]:
    index = filled(spec)
    yield index
    index.close()


def unharmed(index: VectorIndex) -> bool:
    """Everything is there and found."""
    found = index.search(looks()[:20], 1).keys.ravel()
    return len(index) == COUNT and index.keys.tolist() == list(range(COUNT)) and found.tolist() == list(range(20))


def with_one(value: float) -> Vectors:
    """Good vectors but for one number of the last."""
    rows = looks(3, seed=1)
    rows[2, 5] = value
    return rows


@kinds
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (looks(3, dim=WIDE - 1), r"shape \(n, 32\) are needed; found \(3, 31\)"),
        (looks(3, dim=WIDE + 1), r"shape \(n, 32\) are needed; found \(3, 33\)"),
        (looks(3)[0], r"found \(32,\)"),
        (with_one(np.nan), "row 2 has length nan"),
        (with_one(np.inf), "row 2 has length inf"),
        (looks(3) * 1.1, r"row 0 has length 1\.1 \(3 of 3 rows are off\)"),
        (looks(3) * 0, "row 0 has length 0"),
    ],
    ids=["narrow", "wide", "one-dimensional", "nan", "infinite", "long", "zeros"],
)
def test_vectors_that_cannot_be_used(index: VectorIndex, bad: Vectors, message: str) -> None:
    with pytest.raises(InputError, match=message):
        index.add(np.arange(len(bad)), bad)
    for allowed in (None, np.arange(5), np.arange(COUNT)):
        with pytest.raises(InputError, match=message):
            index.search(bad, 3, allowed)
    assert unharmed(index)


@kinds
def test_numbers_that_cannot_be_asked_for(index: VectorIndex) -> None:
    for k in (0, -1, 2.5, True):
        with pytest.raises(QueryError, match="k is how many to find, a whole number from 1 up"):
            index.search(looks()[:1], k)  # type: ignore[arg-type]
    everything = index.search(looks()[:2], COUNT + 50)
    assert (np.sort(everything.keys[:, :COUNT], axis=1) == np.arange(COUNT)).all()
    assert (everything.keys[:, COUNT:] == -1).all()
    assert np.isneginf(everything.scores[:, COUNT:]).all()
    some = index.search(looks()[:2], 9, np.array([4, 600, 5000]))
    assert np.sort(some.keys[:, :2], axis=1).tolist() == [[4, 600]] * 2
    assert (some.keys[:, 2:] == -1).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exact:HNSW", "no kinds"),
        ("faiss:", "There is no index 'faiss:'"),
        ("faiss:NOTHING", "There is no index"),
        ("faiss:IVF", "There is no index"),
        ("faiss:PQ7", "There is no index"),
        ("faiss:IVF16,NOTHING", "There is no index"),
        ("faiss:auto?speed=9", "options recall, memory; found 'speed'"),
        ("nobody:", "No index is called 'nobody:'"),
        ("", "No index is called ':'"),
        pytest.param("milvus://lite?index=NOTHING", "A Milvus index is", marks=MILVUS.marks),
    ],
)
def test_kinds_that_there_are_not(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_index(spec, dim=WIDE)
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store)
        with pytest.raises(InputError, match=message):
            store.use_index(spec)
        assert store.index_spec == "faiss:auto"


def test_a_store_that_names_a_kind_of_before_opens_and_is_rebuilt(tmp_path: Path) -> None:
    """Its index's file is of another layout, too."""
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store)
        held = len(store.index)
        store.catalog.set_setting("index", "faiss:IVF1024,SQ8?recall=0.9")
        name = store.current().version.file_name
    (tmp_path / "shop" / name).write_bytes(b"LAPELID3" + bytes(4000))
    with open_context(tmp_path / "shop") as again:
        assert again.index_spec == "faiss:auto?recall=0.9"
        assert len(again.index) == held > 0
        assert check_index(again).agrees


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lapel.indexes.milvus", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lapel\[milvus\]'"):
        open_index("milvus://lite")


@kinds_in_files
def test_a_file_of_another_model_or_kind(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "index.bin"
    index = filled(spec, path)
    index.save()
    index.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"holds vectors 32 wide; 48 are needed.*lapel index rebuild"):
        open_index(spec, dim=48, path=path)
    other = "faiss:Flat" if spec == "exact:" else "exact:"
    with pytest.raises(InputError, match="lapel index rebuild"):
        open_index(other, dim=WIDE, path=path)
    assert path.read_bytes() == before


@kinds_in_files
def test_a_file_of_another_model_of_the_same_width_is_found_out(spec: str, tmp_path: Path) -> None:
    """A store looks for its model's own file; one that was renamed to it is found by comparing."""
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store)
        store.catalog.set_setting("index", spec)
        name, keys = store.current().version.file_name, store.index.keys
    with closing(open_index(spec)) as another:
        another.add(keys, normalise(np.random.default_rng(5).normal(size=(len(keys), 128))))
        another.save(tmp_path / "shop" / name)
    with open_context(tmp_path / "shop") as again:
        assert check_index(again).other.tolist() == keys.tolist()
        check_index(again, repair=True)
        assert check_index(again).agrees


@kinds_in_files
def test_files_cut_short_or_changed(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "index.bin"
    index = filled(spec, path)
    index.save()
    index.close()
    good = path.read_bytes()
    assert len(good) > 512
    cuts = [0, 1, 8, 511, 512, 513, len(good) // 3, len(good) // 2, len(good) - 1]
    with zipfile.ZipFile(path) as archive:
        begins = [each.header_offset + 200 for each in archive.infolist() if each.file_size > 400]
    assert begins
    for place in begins:
        flipped = bytearray(good)
        flipped[place] ^= 0x10
        path.write_bytes(bytes(flipped))
        with pytest.raises(InputError, match=r"damaged or no index.*lapel index rebuild"):
            open_index(spec, dim=WIDE, path=path)
    for length in cuts:
        path.write_bytes(good[:length])
        with pytest.raises(InputError, match=r"damaged or no index.*lapel index rebuild"):
            open_index(spec, dim=WIDE, path=path)
    path.write_bytes(good)
    assert len(open_index(spec, dim=WIDE, path=path)) == COUNT


class FullDisk(io.FileIO):
    """A file on a disk that has room for a few bytes more."""

    room = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> type[FullDisk]:
    plain = Path.open

    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        return FullDisk(path, "w") if path.suffix == ".part" else plain(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", opened)
    return FullDisk


@kinds_in_files
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_a_disk_that_is_full_while_saving(
    spec: str, share: float, tmp_path: Path, full_disk: type[FullDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file stays as it was, no part of the new one is left, and the index goes on."""
    path = tmp_path / "index.bin"
    monkeypatch.setattr(full_disk, "room", 10**9)
    index = filled(spec, path)
    index.save()
    before = path.read_bytes()
    index.add(np.arange(3), looks()[:3])
    monkeypatch.setattr(full_disk, "room", int(len(before) * share))
    with pytest.raises(OSError, match="No space left on device") as told:
        index.save()
    assert told.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["index.bin"]
    assert unharmed(index)
    monkeypatch.setattr(full_disk, "room", 10**9)
    index.save()
    assert unharmed(open_index(spec, dim=WIDE, path=path))
    index.close()


@kinds_in_files
def test_a_store_on_a_full_disk_is_searched_all_the_same(
    spec: str, tmp_path: Path, full_disk: type[FullDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while what it saves was built."""
    monkeypatch.setattr(full_disk, "room", 700)
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.catalog.set_setting("index", spec)
        fill(store, {f"p{number}": [vector] for number, vector in enumerate(looks(COUNT, dim=128))})
        index = store.index
        wait_idle(index)
        fill(store, {f"q{number}": [vector] for number, vector in enumerate(looks(200, dim=128, seed=2))})
        assert store.index is index
        assert index.search(looks(COUNT, dim=128)[:1], 1).keys.tolist() == [[1]]
        store.index_sync.wait_idle()
        assert not [path for path in store.folder.iterdir() if path.name.endswith((".bin", ".part"))]
