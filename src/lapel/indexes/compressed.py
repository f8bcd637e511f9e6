"""FAISS's IVF-PQ, for vectors that do not fit the memory as they are: about 180 bytes each.

Rows lie in lists around centroids. A search reads the nearest lists, in 4 bits for each four numbers of a vector, and
scores the best of what it finds by the vectors kept in a byte a number. It grows in place, and is built again when it
has doubled, since its centroids were learned from what there was.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import faiss as typed_faiss
import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.files import Content
from lapel.indexes.graph import Bitmap
from lapel.indexes.rows import Rows, merge_matches, no_matches
from lapel.indexes.structure import ReadRows, SearchParams, Structure, one_thread, read_blocks, sample, tune
from lapel.indexes.table import Column

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

MAX_TRAINING_ROWS = 200_000
KMEANS_ITERATIONS = 10
EF_QUANTIZER = 200, 128  # of the graph over the centroids: while it is built, and while it is searched
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512)  # nprobe, as tuning tries it
REFINE_FACTORS = (1, 2, 4, 8, 16, 32)
# The nearest allowed rows lie in about 1/sqrt(share) times as many lists: so measured at 0.5 to 0.003 of 1,000,000. It
# is a rule of thumb, and the parameters were found without a filter.
FILTER_MARGIN = 1.4
MAX_GROWTH = 2
MAX_ALONE_QUERIES = 64  # that one thread searches alone; of the graph, where each takes a fraction of this, more


class Compressed(Structure):
    """``IVF<lists>,PQ<bytes>x4fs``.

    Args:
        name: Which.
        index: The FAISS index.
        coder: FAISS's, of a byte a number.
        codes: What it made of each row.
        built_rows: Rows there were when it was built.
    """

    rows_at_once = 256

    def __init__(self, name: str, index: Any, coder: Any, codes: Column, built_rows: int) -> None:
        self.name = name
        self._index, self._coder, self._codes, self._built_rows = index, coder, codes, built_rows

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Compressed:
        """See :meth:`Structure.build`."""
        some = read(sample(count, MAX_TRAINING_ROWS))
        factory = name.replace(",", "_HNSW16,")
        index = faiss.index_factory(some.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = KMEANS_ITERATIONS
        index.cp.min_points_per_centroid = 1  # fewer than FAISS likes are enough; it would only say so
        # A row that is put into another list than its nearest is lost.
        quantizer = faiss.downcast_index(index.quantizer)
        quantizer.hnsw.efConstruction, quantizer.hnsw.efSearch = EF_QUANTIZER
        coder = faiss.IndexScalarQuantizer(some.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.train(some)
        coder.train(some)
        built = cls(name, index, coder, Column((some.shape[1],), np.uint8), count)
        for block in read_blocks(count, read):
            built.extended(block)
        tune(built, [[SearchParams(width, factor) for width in WIDTHS] for factor in REFINE_FACTORS], recall)
        return built

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def is_outgrown(self) -> bool:
        """See :meth:`Structure.is_outgrown`."""
        return len(self) > MAX_GROWTH * self._built_rows

    def extended(self, vectors: Vectors) -> Compressed:
        """See :meth:`Structure.extended`."""
        self._index.add(vectors)
        self._codes.append(self._coder.sa_encode(vectors))
        return self

    def vectors(self, rows: Rows) -> Vectors:
        """See :meth:`Structure.vectors`."""
        with one_thread():
            decoded: Vectors = self._coder.sa_decode(self._codes.all[rows])
        return decoded

    def select(self, rows: Rows) -> Bitmap:
        """See :meth:`Structure.select`."""
        return Bitmap.of(rows, len(self))

    def search(self, queries: Vectors, k: int, selection: Bitmap | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        if not len(queries):
            return no_matches(0, k)
        width, factor = self.search_params.width, self.search_params.refine_factor
        chosen = {} if selection is None else {"sel": selection.selector}
        if selection is not None and selection.share < 1:
            width = math.ceil(width * max(1.0, FILTER_MARGIN * max(selection.share, 1e-9) ** -0.5))
        params = faiss.SearchParametersIVF(nprobe=min(width, self._index.nlist), **chosen)
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
            rows = self._index.search(queries, k * factor, params=params)[1]
            scores = np.full(rows.shape, -np.inf, np.float32)
            for query, near, found in zip(queries, scores, rows, strict=True):  # all at once would take gigabytes
                near[found >= 0] = self._coder.sa_decode(self._codes.all[found[found >= 0]]) @ query
        return merge_matches([Matches(np.where(rows < 0, -1, keys[rows]), scores)], k)

    def content(self) -> Content:
        """See :meth:`Structure.content`."""
        params = self.search_params
        plain = {"built": self._built_rows, "width": params.width, "refine": params.refine_factor}
        faiss_own = {"index": faiss.serialize_index(self._index), "coder": faiss.serialize_index(self._coder)}
        return {**plain, **faiss_own, "codes": self._codes.all}

    @classmethod
    def restore(cls, name: str, content: Content) -> Compressed:
        """See :meth:`Structure.restore`."""
        index, coder = (faiss.deserialize_index(content[part]) for part in ("index", "coder"))
        codes = Column((index.d,), np.uint8)
        codes.replace(content["codes"])
        restored = cls(name, index, coder, codes, content["built"])
        restored.search_params = SearchParams(content["width"], content["refine"])
        return restored
