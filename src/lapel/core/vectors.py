"""Unit vectors: the one shape that encoders give, indexes take and scores are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lapel.core.errors import InputError

Keys = NDArray[np.int64]  # (n,) photo keys: row ids of the catalogue
Vectors = NDArray[np.float32]  # (n, dim) rows of length 1

UNIT_TOLERANCE = 1e-3  # float16 storage and int8 networks keep a row's length within this of 1


def normalise(rows: ArrayLike) -> Vectors:
    """Scale each row to length 1. A row of zeros has no direction and stays zero.

    Args:
        rows: (n, dim), any real dtype. Not changed.

    Returns:
        (n, dim) float32, unit rows.
    """
    array = np.asarray(rows, dtype=np.float32)
    length: Vectors = np.sqrt(np.einsum("nd,nd->n", array, array))[:, None]
    return np.divide(array, length, out=np.zeros_like(array), where=length != 0)


def check_vectors(rows: ArrayLike, dim: int) -> Vectors:
    """Return ``rows`` as contiguous (n, dim) float32 after checking shape, finiteness and length.

    Raises:
        InputError: another width, a NaN or infinity, or rows that are not of length 1.
    """
    array = np.ascontiguousarray(rows, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise InputError(
            f"Vectors of shape (n, {dim}) are needed; found {array.shape}. Encode with this index's model."
        )
    if len(array) == 1 and abs(float(array[0] @ array[0]) ** 0.5 - 1) <= UNIT_TOLERANCE:
        return array  # as most questions come: a quarter of the time
    length = np.sqrt(np.einsum("nd,nd->n", array, array))
    # A NaN or an infinity anywhere in a row shows in its length, so one pass checks both.
    bad = ~(np.abs(length - 1) <= UNIT_TOLERANCE)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"Unit vectors are needed; row {row} has length {length[row]:.4g}"
            f" ({int(bad.sum())} of {len(array)} rows are off). Use lapel.core.vectors.normalise first."
        )
    return array


def check_keys(keys: ArrayLike, rows: int | None = None) -> Keys:
    """Return ``keys`` as (n,) int64 after checking that they are whole, not negative and as many as ``rows``.

    Raises:
        InputError: another shape, fractions, negative keys (-1 means "no match") or another number than ``rows``.
    """
    array = np.asarray(keys)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"Keys are one row of whole numbers; found shape {array.shape} of {array.dtype}.")
    if rows is not None and len(array) != rows:
        raise InputError(f"One key a vector is needed; found {len(array)} keys for {rows} vectors.")
    if array.size and int(array.min()) < 0:
        raise InputError(f"Keys start at 0 (-1 means 'no match'); found {int(array.min())}.")
    return array.astype(np.int64)
