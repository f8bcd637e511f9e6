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
from lapel.indexes.rows import Rows, merge_matches, no_matches
from lapel.indexes.structure import ReadRows, SearchParams, Structure, one_thread, read_blocks, sample, tune

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
        index: FAISS's, of 4-bit codes that are refined by a byte a number.
        built_rows: Rows there were when it was built.
    """

    rows_at_once = 256

    def __init__(self, name: str, index: Any, built_rows: int) -> None:
        self.name = name
        self._index, self._built_rows = index, built_rows

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Compressed:
        """See :meth:`Structure.build`."""
        some = read(sample(count, MAX_TRAINING_ROWS))
        factory = f"{name.replace(',', '_HNSW16,')},Refine(SQ8)"
        index = faiss.index_factory(some.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        lists = faiss.downcast_index(index.base_index)
        lists.cp.niter = KMEANS_ITERATIONS
        lists.cp.min_points_per_centroid = 1  # fewer than FAISS likes are enough; it would only say so
        # A row that is put into another list than its nearest is lost.
        quantizer = faiss.downcast_index(lists.quantizer)
        quantizer.hnsw.efConstruction, quantizer.hnsw.efSearch = EF_QUANTIZER
        index.train(some)
        for block in read_blocks(count, read):
            index.add(block)
        built = cls(name, index, count)
        tune(built, [[SearchParams(width, factor) for width in WIDTHS] for factor in REFINE_FACTORS], recall)
        return built

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def is_outgrown(self) -> bool:
        """See :meth:`Structure.is_outgrown`."""
        return len(self) > MAX_GROWTH * self._built_rows

    def extend(self, vectors: Vectors) -> None:
        """See :meth:`Structure.extend`."""
        self._index.add(vectors)

    def vectors(self, rows: Rows) -> Vectors:
        """See :meth:`Structure.vectors`."""
        with one_thread():
            decoded: Vectors = self._index.reconstruct_batch(rows)
        return decoded

    def select(self, rows: Rows) -> tuple[float, Any]:
        """See :meth:`Structure.select`: the share of all, 0..1, and FAISS's selector."""
        mask = np.zeros(len(self), bool)
        mask[rows] = True
        return len(rows) / len(self), faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))

    def search(self, queries: Vectors, k: int, selection: tuple[float, Any] | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        if not len(queries):
            return no_matches(0, k)
        width, chosen = self.search_params.width, dict[str, Any]()
        if selection is not None:
            share, chosen["sel"] = selection
            width = math.ceil(width * max(1.0, FILTER_MARGIN * share**-0.5))
        lists = faiss.SearchParametersIVF(nprobe=width, **chosen)
        params = faiss.IndexRefineSearchParameters(k_factor=self.search_params.refine_factor, base_index_params=lists)
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
            scores, rows = self._index.search(queries, k, params=params)
        found = rows >= 0
        return merge_matches(
            [Matches(np.where(found, keys[rows], -1), np.where(found, scores, np.float32(-np.inf)))], k
        )

    def content(self, count: int) -> Content:
        """See :meth:`Structure.content`."""
        del count  # it is extended while nobody looks
        width, factor = self.search_params.width, self.search_params.refine_factor
        kept = faiss.serialize_index(self._index)
        return {"built": self._built_rows, "width": width, "refine": factor, "index": kept}

    @classmethod
    def restore(cls, name: str, content: Content) -> Compressed:
        """See :meth:`Structure.restore`."""
        restored = cls(name, faiss.deserialize_index(content["index"]), content["built"])
        restored.search_params = SearchParams(content["width"], content["refine"])
        return restored
