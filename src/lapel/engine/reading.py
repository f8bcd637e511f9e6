"""Reading a query: each of its parts becomes a direction of the model's space, and together they are one unit vector.

Pictures, products and vectors are directions as they are, and words are where the model reads words; else they are the
mean of the products whose texts match best (Rocchio's centroid). Beside other parts words that say what a thing is like
("striped") are the direction in which such products differ from others of their kind, a kind that is not wanted is the
direction in which it differs from the kinds beside it, and a colour takes the place of the colour that is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lapel.core.colour_names import find_colour
from lapel.core.errors import ModelMismatchError, QueryError
from lapel.core.filters import Condition, Filter
from lapel.core.synonyms import synonyms_of
from lapel.core.types import AskedColour, EmbeddedQuery, Part, Photo, Query, UnderstoodPart, WordReading
from lapel.core.vectors import UNIT_TOLERANCE, Vectors, check_vectors, normalise
from lapel.core.words import tokens
from lapel.encoders.segmenter import ImageEmbeddings, embed_images
from lapel.engine.asked_colours import resolve_colour, shares_of
from lapel.engine.colour_space import ColourSpace, ColourSpaces
from lapel.engine.colours import read_colours
from lapel.engine.context import StoreContext
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.look import LookReranker
from lapel.engine.words import WordReader

WORD_MATCHES = 24  # products whose photos stand for words, where the model cannot read words itself
LIKE_MATCHES = 200  # products from which is learned what words say beside other parts
LIKE_STEP = 0.5  # how far words beside other parts move a query of length 1
UNLIKE_STEP = 0.2  # and beyond taking out what it has of them, for those of negative weight
CANCELLED = 1e-6  # length of a sum of parts below which they leave no direction

_ALONE = ("image", "product", "vector")  # kinds of parts that are a direction by themselves

Direction = NDArray[np.float32]


@dataclass(frozen=True)
class Known:
    """What parts of queries were found to be, all together.

    Attributes:
        images: Of each image part, by its identity: the batch it was encoded in, and its row there.
        products: By its id, the keys of each product's photos and their mean direction.
    """

    images: Mapping[int, tuple[ImageEmbeddings, int]]
    products: Mapping[str, tuple[Sequence[int], Direction]]


class ModelChangedError(Exception):
    """The store got another model between two looks at it: read again."""


@dataclass
class _Read:
    """A part as it was read.

    Attributes:
        part: The part.
        understood: What is said of it.
        vector: (dim,) its direction, of length 1; None where it is a colour alone, or was not understood.
        likeness: (dim,) the direction in which products that words describe differ from their kind; None of others.
    """

    part: Part
    understood: UnderstoodPart
    vector: Direction | None
    likeness: Direction | None = None


class QueryReader:
    """Makes directions of queries. Safe to share between threads.

    Args:
        store: The store.
        look: What knows its colours.

    Attributes:
        words: What reads words.
    """

    def __init__(self, store: StoreContext, look: LookReranker) -> None:
        self._store = store
        self._look = look
        self._spaces = ColourSpaces(look)
        self.words = WordReader(store.catalog)

    def look_up(self, snapshot: SearchSnapshot, queries: Sequence[Query]) -> Known:
        """What can be found out of all parts together, in less time than one by one."""
        return Known(self._encode_images(snapshot, queries), self._find_products(snapshot, queries))

    def _find_products(
        self, snapshot: SearchSnapshot, queries: Sequence[Query]
    ) -> dict[str, tuple[Sequence[int], Direction]]:
        """The photos and the mean direction of each product among the parts, by its id; those without vectors are left
        out."""
        ids = {part.product_id for query in queries for part in query.all_parts if part.product_id is not None}
        if not ids:
            return {}
        keys, vectors = self._store.catalog.vectors_of_products(sorted(ids), fingerprint=snapshot.model.fingerprint)
        if not keys:
            return {}
        ends = np.cumsum([len(each) for each in keys.values()])
        means = normalise(np.add.reduceat(vectors, np.r_[0, ends[:-1]], axis=0))
        return dict(zip(keys, zip(keys.values(), means, strict=True), strict=True))

    def _encode_images(
        self, snapshot: SearchSnapshot, queries: Sequence[Query]
    ) -> dict[int, tuple[ImageEmbeddings, int]]:
        """Every image part by its identity: the batch it was encoded in, and its row there."""
        found: dict[int, tuple[ImageEmbeddings, int]] = {}
        for segment in (True, False):
            parts = [
                part
                for query in queries
                for part in query.all_parts
                if part.image is not None and part.segment is segment
            ]
            if parts:
                batch = embed_images(snapshot.encoder, [part.seen for part in parts], segment=segment)
                found.update((id(part), (batch, row)) for row, part in enumerate(parts))
        return found

    def combine(self, snapshot: SearchSnapshot, query: Query, known: Known) -> EmbeddedQuery:
        """The weighted sum of the parts' directions, at length 1; zeros where nothing was understood.

        Raises:
            QueryError: the parts cancel each other out.
        """
        excluded = query.exclude | {part.product_id for part in query.all_parts if part.product_id is not None}
        if len(query.all_parts) == 1 and query.all_parts[0].weight > 0 and query.all_parts[0].kind in _ALONE:
            alone = self._read(snapshot, query.all_parts[0], known, beside=True)
            assert alone.vector is not None
            return EmbeddedQuery(
                alone.vector, snapshot.model.fingerprint, (alone.understood,), alone.vector[None], excluded
            )
        beside = any(part.kind in _ALONE for part in query.all_parts)
        liked = any(part.weight > 0 for part in query.all_parts)
        read = [
            self._read(snapshot, part, known, beside=beside or (liked and part.weight < 0)) for part in query.all_parts
        ]
        parts = tuple(each.understood for each in read)
        if len(read) == 1 and read[0].vector is not None and read[0].part.weight > 0:
            vector = read[0].vector
            return EmbeddedQuery(vector, snapshot.model.fingerprint, parts, vector[None], excluded)
        _check_wishes(read)
        dim = snapshot.index.dim
        rows = np.zeros((len(read), dim), np.float32)
        for row, each in enumerate(read):
            if each.vector is not None and each.likeness is None:
                rows[row] = np.float32(each.part.weight) * each.vector
        meant = any(each.vector is not None or each.understood.asked for each in read)
        if not meant:
            none = np.zeros(dim, np.float32)
            return EmbeddedQuery(none, snapshot.model.fingerprint, parts, rows, excluded)
        rows = self._with_likenesses(read, rows)
        rows = self._with_colours(snapshot, read, rows)
        total = rows.sum(axis=0)
        length = float(np.linalg.norm(total))
        if length < CANCELLED:
            raise QueryError(
                "The parts of the query cancel each other out: nothing is left to look for. Change the weights."
            )
        return EmbeddedQuery(
            total / np.float32(length), snapshot.model.fingerprint, parts, rows / np.float32(length), excluded
        )

    # --- what parts say of others -------------------------------------------------------------------------------------

    def _with_likenesses(self, read: Sequence[_Read], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Words beside other parts: towards what they describe, or away from what there is of it."""
        likenesses = [(row, each) for row, each in enumerate(read) if each.likeness is not None]
        base = rows.sum(axis=0)
        length = float(np.linalg.norm(base))
        for row, each in likenesses:
            assert each.likeness is not None
            weight, there = np.float32(each.part.weight), max(0.0, float(base @ each.likeness))
            step = LIKE_STEP * length if weight > 0 else there + UNLIKE_STEP * length
            if each.understood.people and weight > 0:  # what says that it is for others goes, too
                step += max(0.0, -float(base @ each.likeness))
            rows[row] = weight * np.float32(step or 1.0) * each.likeness
        return rows

    def _with_colours(
        self, snapshot: SearchSnapshot, read: Sequence[_Read], rows: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Colours that are asked for take the place of what the other parts say of colour; those of negative weight are
        taken off."""
        asked = [
            (row, each.part.weight / len(each.understood.asked), colour)
            for row, each in enumerate(read)
            for colour in each.understood.asked
        ]
        if not asked:
            return rows
        table, space = self._look.table(snapshot.version.generation), self.colour_space(snapshot)
        base = rows.sum(axis=0)
        length = float(np.linalg.norm(base))
        own = space.own(base)
        wanted = sum(weight for _, weight, _ in asked if weight > 0)
        for row, weight, colour in asked:
            centre = space.centre(shares_of(colour, table))
            if not centre.any() and not length:
                centre = self._of_colour(snapshot, colour)
            if weight > 0 and length and centre.any():
                share = np.float32(weight / wanted)
                rows[row] += share * min(1.0, wanted) * (np.float32(length) * centre - own)
            else:
                rows[row] += np.float32(weight * (length or 1.0)) * centre
        return rows

    def colour_space(self, snapshot: SearchSnapshot) -> ColourSpace:
        """Where colour is in the vectors that are searched."""
        return self._spaces.of(snapshot.version.generation, snapshot.model.fingerprint)

    # --- parts by themselves ------------------------------------------------------------------------------------------

    def _read(self, snapshot: SearchSnapshot, part: Part, known: Known, *, beside: bool) -> _Read:
        if part.image is not None:
            return self._image(part, known)
        if part.text is not None:
            return self._text(snapshot, part, beside=beside)
        if part.colour is not None:
            asked = self._asked(snapshot, part.colour)
            none = np.zeros(snapshot.index.dim, np.float32)
            return _Read(part, UnderstoodPart("colour", part.weight, asked.note, none, asked=(asked,)), None)
        photos: Sequence[int] = ()
        if part.vector is not None:
            vector, note = self._given(snapshot, part, part.vector), "a vector"
        else:
            product_id = str(part.product_id)
            photos, vector = known.products.get(product_id) or self._of_product(snapshot, product_id)
            note = f"the product {product_id}"
        on_white = part.colours is None or part.colours.on_white
        read = UnderstoodPart(
            part.kind, part.weight, note, vector, colours=part.colours, on_white=on_white, photos=tuple(photos)
        )
        return _Read(part, read, vector)

    def _image(self, part: Part, known: Known) -> _Read:
        batch, row = known.images[id(part)]
        segmented = batch.products[row]
        product = None if segmented is None else batch.product[row]
        what = "the image" if part.box is None else f"the box {','.join(f'{each:g}' for each in part.box)} of the image"
        note = what if segmented is None else f"{what} and the product found in it"
        seen = part.seen
        assert seen is not None
        colours = read_colours(seen, segmented) if part.segment else None
        whole = UnderstoodPart(
            "image",
            part.weight,
            note,
            batch.whole[row],
            product,
            segmented,
            colours,
            on_white=bool(batch.on_white[row]),
            maps=batch.maps[row],
            strength=_strength(batch.strengths[row]),
        )
        return _Read(part, whole, batch.vectors[row])

    def _text(self, snapshot: SearchSnapshot, part: Part, *, beside: bool) -> _Read:
        text = str(part.text)
        reading = self.words.read(text, *self._known_words(snapshot, text))
        none = np.zeros(snapshot.index.dim, np.float32)
        said = UnderstoodPart("text", part.weight, reading.note, none, words=reading)
        if not reading.understood:
            return _Read(part, said, None)
        if reading.product_id:
            _, vector = self._of_product(snapshot, reading.product_id)
            return _Read(part, replace(said, whole=vector), vector)
        if not beside:
            vector, note = self._of_words(snapshot, reading)
            return _Read(part, replace(said, whole=vector, note=note), vector)
        if not reading.groups:  # a colour that no text of the catalogue names is known by sight
            reading = replace(reading, colours=tuple(word for word in reading.read.split() if find_colour(word)))
        said = replace(said, asked=tuple(self._asked(snapshot, colour) for colour in reading.colours))
        if reading.only_colours or (reading.colours and len(reading.colours) == len(reading.read.split())):
            return _Read(part, said, None)
        rest = _without_colours(reading)
        people = self._people(snapshot, rest)
        if people and (towards := self._towards(snapshot, people)) is not None:
            return _Read(part, replace(said, people=people, whole=towards), towards, towards)
        if not self.words.names_a_kind(rest):
            likeness = self._likeness(snapshot, rest)
        else:
            likeness = self._from_kin(snapshot, rest) if part.weight < 0 else None
        vector, _ = self._of_words(snapshot, rest)
        return _Read(part, replace(said, whole=vector), vector, likeness)

    def _known_words(self, snapshot: SearchSnapshot, text: str) -> tuple[frozenset[str], frozenset[str]]:
        """The words of a text that the model understands by itself, and those of them that it only guesses."""
        if not reads_words(snapshot) or not hasattr(snapshot.encoder, "known_words"):
            return frozenset(), frozenset()
        known = snapshot.encoder.known_words(text)
        return _tokens_of(known.understood), _tokens_of(known.guessed)

    def _asked(self, snapshot: SearchSnapshot, colour: str) -> AskedColour:
        table = self._look.table(snapshot.version.generation)
        return resolve_colour(colour, table, synonyms_of(self._store.folder))

    def _given(self, snapshot: SearchSnapshot, part: Part, vector: Direction) -> Direction:
        if part.fingerprint and part.fingerprint != snapshot.model.fingerprint:
            raise ModelMismatchError(
                f"The query's vector was made by the model {part.fingerprint}; the store {self._store.folder} is"
                f" searched"
                f" with '{snapshot.model.name}' ({snapshot.model.fingerprint}) now. Ask with the picture again."
            )
        if len(vector) == snapshot.index.dim and abs(float(vector @ vector) - 1) <= UNIT_TOLERANCE:
            return vector  # a stricter test than the next one, in a fifth of its time
        given: Direction = check_vectors(np.reshape(vector, (1, -1)), snapshot.index.dim)[0]
        return given

    def _of_product(self, snapshot: SearchSnapshot, product_id: str) -> tuple[Sequence[int], Direction]:
        """The keys of a product's photos, and their mean direction."""
        photos = self._store.catalog.photos(product_id)
        if not photos:
            raise QueryError(
                f"There is no product '{product_id}' in this store. Look for its id by words of its title.",
                product_id=product_id,
            )
        vectors = self._vectors_of(snapshot, photos)
        if not len(vectors):
            raise QueryError(
                f"No photo of the product '{product_id}' has a vector of the model '{snapshot.model.name}'."
                " Run 'lapel add' for it again."
            )
        return [photo.key for photo in photos], _mean(vectors)

    def _of_words(self, snapshot: SearchSnapshot, reading: WordReading) -> tuple[Direction, str]:
        """What the model makes of words; the mean direction of the products whose texts match best where it reads
        none."""
        if reads_words(snapshot):
            vector: Direction = snapshot.encoder.encode_text([reading.read])[0]
            return vector, reading.note
        ids, total = self._matching(reading, WORD_MATCHES)
        vectors = self._vectors_at(snapshot, ids)
        if not len(vectors):
            raise QueryError(f"No product has the words '{reading.asked}' in its texts. Use other words, or fewer.")
        return _mean(vectors), f"{reading.note}: the mean of {total:,} products with them"

    def _matching(self, reading: WordReading, limit: int) -> tuple[list[str], int]:
        """Up to so many products that have all of the words, else any of them."""
        groups = self.words.phrases(reading)
        if not groups:  # words that the model alone knows
            return [], 0
        found = self._store.catalog.ranked_by_words(groups, limit=limit)
        if not found:
            found = self._store.catalog.ranked_by_words([[each for group in groups for each in group]], limit=limit)
        return [product_id for product_id, _ in found], len(found)

    def _likeness(self, snapshot: SearchSnapshot, reading: WordReading) -> Direction | None:
        """The direction in which the products with these words differ from others of their category and gender; None
        where too few have them."""
        ids, _ = self._matching(reading, LIKE_MATCHES)
        keys = self._store.catalog.first_photos(ids)
        space = self.colour_space(snapshot)
        table = self._look.table(snapshot.version.generation)
        apart = []
        for key in keys.tolist():
            at = int(np.searchsorted(table.keys, key))
            kind = tuple(table.columns[name].values[table.columns[name].of[at]] for name in ("category", "gender"))
            vector = self._store.catalog.vector_of([key], fingerprint=snapshot.model.fingerprint)
            mean = space.kinds.get((kind[0], kind[1]))
            if len(vector) and mean is not None:
                apart.append(vector[0] - mean)
        return _together(apart)

    def _from_kin(self, snapshot: SearchSnapshot, reading: WordReading) -> Direction | None:
        """The direction in which the categories that words name differ from those beside them for the same people: what
        is unlike heels is other shoes. None where the words are no category's, or nothing is beside it."""
        named = {words for group in self.words.phrases(reading) for words in group}
        of = self.colour_space(snapshot).kinds.items()
        kinds = [(json.loads(category or "[]"), gender, mean) for (category, gender), mean in of]
        apart = []
        for path, gender, mean in kinds:
            if path and tokens(path[-1]) in named:
                beside = [(other, by) for other, whose, by in kinds if whose == gender and other[:-1] == path[:-1]]
                kin = [by for other, by in beside if other and other != path]
                apart += [mean - np.mean(kin, axis=0)] if kin else []
        return _together(apart)

    def _people(self, snapshot: SearchSnapshot, reading: WordReading) -> tuple[str, ...]:
        """The store's names of those for whom products are, where a text says nothing else: "for women"."""
        genders = self._look.table(snapshot.version.generation).columns["gender"].values[1:]
        said = [set(group) for group in self.words.phrases(reading)]
        named = tuple(name for name in genders if any(tokens(name) in group for group in said))
        return named if said and all(any(tokens(name) in group for name in named) for group in said) else ()

    def _towards(self, snapshot: SearchSnapshot, people: tuple[str, ...]) -> Direction | None:
        """The direction from products for others to those of the same category for these people; None where no category
        has both."""
        means: dict[str, tuple[list[Direction], list[Direction]]] = {}
        for (category, gender), mean in self.colour_space(snapshot).kinds.items():
            means.setdefault(category, ([], []))[gender not in people].append(mean)
        apart = [np.mean(own, axis=0) - np.mean(others, axis=0) for own, others in means.values() if own and others]
        if not apart:
            return None
        return _mean(np.array(apart, np.float32))

    def _of_colour(self, snapshot: SearchSnapshot, asked: AskedColour) -> Direction:
        """The mean direction of products of a colour, where the colour space knows nothing of it."""
        where = Filter((Condition("colour", "=", asked.names),)) if asked.names else None
        ids = [each.id for each in self._store.catalog.products(where, limit=WORD_MATCHES)] if where else []
        vectors = self._vectors_at(snapshot, ids)
        if not len(vectors):
            raise QueryError(
                f"No product of this store has {asked.note}, and its photos' colours are not known. Give a picture or"
                " words too."
            )
        return _mean(vectors)

    def _vectors_at(self, snapshot: SearchSnapshot, ids: Sequence[str]) -> Vectors:
        """The vectors of products' first photos."""
        photos = [photo for product_id in ids for photo in self._store.catalog.photos(product_id)[:1]]
        return self._vectors_of(snapshot, photos) if photos else np.empty((0, 0), np.float32)

    def _vectors_of(self, snapshot: SearchSnapshot, photos: Sequence[Photo]) -> Vectors:
        """Their vectors; those without one are left out."""
        keys = np.array([photo.key for photo in photos], np.int64)
        vectors = self._store.catalog.vector_of(keys, fingerprint=snapshot.model.fingerprint)
        if not len(vectors) and self._store.current().version != snapshot.version:
            raise ModelChangedError  # the store dropped this model's vectors since
        return vectors


def reads_words(snapshot: SearchSnapshot) -> bool:
    """Whether the model of a store reads words itself."""
    return bool(snapshot.model.fingerprint) and bool(getattr(snapshot.encoder, "has_text", False))


def _check_wishes(read: Sequence[_Read]) -> None:
    """See that no words are asked for and against.

    Raises:
        QueryError: some are.
    """
    said = [(each.understood.words.read, each.part.weight) for each in read if each.understood.words is not None]
    for words, weight in said:
        if words and weight > 0 and any(other == words and against < 0 for other, against in said):
            raise QueryError(f"The query asks for '{words}' and against it: nothing is left to look for. Drop one.")


def _tokens_of(words: Iterable[str]) -> frozenset[str]:
    """The words as the word search cuts them."""
    return frozenset(token for word in words for token in tokens(word))


def _without_colours(reading: WordReading) -> WordReading:
    """The other words of a reading."""
    colours = set(reading.colours)
    groups = tuple(group for group in reading.groups if not colours & set(group))
    words = [word for word in reading.read.split() if word not in {w for colour in colours for w in colour.split()}]
    return replace(reading, read=" ".join(words), groups=groups, colours=())


def _strength(given: NDArray[np.float32]) -> tuple[float, float] | None:
    return (float(given[0]), float(given[1])) if np.isfinite(given).all() else None


def _together(apart: Sequence[Direction]) -> Direction | None:
    """The sum of some differences at length 1; None where they are none, or leave no direction."""
    total: Direction = np.sum(apart, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return None if length < CANCELLED else total / np.float32(length)


def _mean(vectors: Vectors) -> Direction:
    mean: Direction = normalise(vectors.mean(axis=0, keepdims=True))[0]
    return mean
