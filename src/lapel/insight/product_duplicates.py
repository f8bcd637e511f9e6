"""``store.duplicates_of()``: what one product is a duplicate of, while a person looks at it.

A product goes in; groups as :mod:`lapel.insight.duplicates` finds them come out, of this product and others. Its photos
are compared with equal bytes, with their nearest by vector, and with what an earlier look at the whole catalogue found:
a copy that only its hash gives away is missed until that was done.
"""

from __future__ import annotations

import numpy as np

from lapel.catalog.pairs import Pair, PairTable
from lapel.core.filters import NO_FILTER
from lapel.core.vectors import Keys
from lapel.engine.context import StoreContext
from lapel.insight.duplicate_search import NEIGHBOURS, PairSearch, PhotoColumns
from lapel.insight.duplicates import LEAST_CHANCE, Duplicates, groups_of, may_be_same


def duplicates_of(
    context: StoreContext, table: PairTable, product_id: str, *, least: float = LEAST_CHANCE
) -> Duplicates:
    """Find what a product is a duplicate of; it stands in every group.

    Args:
        context: The store.
        table: What is known of pairs.
        product_id: The product.
        least: How sure a near duplicate is at least.

    Raises:
        QueryError: there is no such product.
    """
    catalog = context.catalog
    catalog.product(product_id)
    photos = catalog.photos(product_id)
    mine = {photo.sha256 for photo in photos}
    search = PairSearch(context, table)
    columns = _around(context, np.array([photo.key for photo in photos], np.int64))
    asking = np.array([name.decode() in mine for name in columns.hashes.tolist()], bool)
    made = search.compare(columns, asking) if asking.any() else []
    known = [pair for pair in table.pairs(search.version) if pair.one in mine or pair.other in mine]
    surest: dict[tuple[str, str], Pair] = {}
    for pair in sorted((*known, *made), key=lambda each: each.chance):
        surest[pair.one, pair.other] = pair
    kept = [pair for pair in surest.values() if pair.chance >= least or may_be_same(pair)]
    repeated = [name for name, keys in catalog.photos_by_hash(mine).items() if len(keys) > 1]
    shown = catalog.matching_keys(NO_FILTER)
    groups, dismissed, other_colour = groups_of(context, table, kept, repeated, shown, least)
    own = tuple(group for group in groups if product_id in (member.product for member in group.members))
    return Duplicates(own, len(photos), dismissed, other_colour=other_colour)


def _around(context: StoreContext, own: Keys) -> PhotoColumns:
    """Photos and their nearest, each picture once."""
    current = context.current()
    fingerprint = current.model.fingerprint
    there, vectors = context.catalog.vectors_there(own, fingerprint=fingerprint)
    nearest = current.index.search(vectors[there], NEIGHBOURS + 2 + len(own)).keys if there.any() else np.zeros((0, 0))
    keys = np.union1d(own[there], nearest[nearest >= 0].astype(np.int64))
    there, vectors = context.catalog.vectors_there(keys, fingerprint=fingerprint)
    keys, vectors = keys[there], vectors[there]
    names = np.zeros(len(keys), "S64")
    for place, sha256 in context.catalog.photo_hashes(keys):
        names[place] = sha256
    first = np.sort(np.unique(names, return_index=True)[1])
    return PhotoColumns(keys[first], names[first], vectors[first])
