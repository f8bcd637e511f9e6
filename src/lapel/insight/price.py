"""What a photo's product should sell for, by what was sold before, and a draft of its listing.

One photo goes in; the nearest items with a price, a range that holds the price of 80 of 100 such products, how long
such items were listed, whether the photo is somebody else's, and a draft with probabilities come out.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lapel.core.errors import QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.images import ImageLike, to_image
from lapel.core.products import MINOR_UNITS
from lapel.core.text import counted, fold
from lapel.core.types import Filter, Product, Query, SearchResult, Verdict
from lapel.encoders.segmenter import embed_images
from lapel.engine.context import StoreContext
from lapel.engine.features import PALETTE
from lapel.engine.retrieval import SearchEngine
from lapel.indexes.neighbours import nearest
from lapel.insight.draft import Drafter, Guess, title_of
from lapel.insight.findings import Findings, Gallery, Picture, Section, read_gallery
from lapel.insight.kept_file import read_kept, write_kept
from lapel.insight.new_picture import Match, NewPictures
from lapel.insight.price_model import LEARNED, LEAST, PriceModel, fit_prices

FILE = "prices"  # and what is known of a photo: in the store's folder; may be deleted
SHOWN = 12  # nearest items that are told
LEAST_COPY = 0.5  # from which on a photo is said to be used already: somebody looks at it, nothing is taken out
DAYS_FROM = 30  # nearest items of the kind whose days are looked at
DAYS = ("days_listed", "days_to_sell", "listed_days", "days")  # what columns may be called
SELLERS = ("seller", "seller_id", "shop", "vendor")
CONDITIONS = ("condition", "state", "grade")


@dataclass(frozen=True)
class SoldItem:
    """A product with a price that looks like the photo.

    Attributes:
        key: Its nearest photo.
        product_id: Its id.
        title: Its title.
        price: For people, such as ``49.90 EUR``.
        amount: The same in major units.
        score: Cosine.
        same: Whether it is the same product, as far as the store can judge.
        condition: As its column says; empty without one.
        days: For how long it was listed; None where no column says so.
        seller: Whose it is; empty without a column.
    """

    key: int
    product_id: str
    title: str
    price: str
    amount: float
    score: float
    same: bool = False
    condition: str = ""
    days: float | None = None
    seller: str = ""


@dataclass(frozen=True)
class PriceEstimate(Findings):
    """What a photo's product should sell for.

    Attributes:
        currency: Of all amounts.
        price: The middle, in major units.
        low: Lower end of the range that holds 80 of 100 prices.
        high: Upper end.
        nearest: The nearest items with a price.
        days: Of such items: median, and between which 80 of 100 lie; None where no column says so.
        reused: Photos of the store that are this very photo or a copy of it, with the seller of each.
        draft: Guesses of kind, colour, gender and attributes.
        title: A title made of them.
        error: Median relative error of such prices on the store's own products.
        kind_error: The same of saying the median of the kind.
        covered: Share of the store's own prices that were in their range.
        tested: On how many photos these three were measured.
        by_kind: Whether the range is that of its kind alone.
        notes: What was left out or is not known.
        photo: The photo that was asked about, as a file's bytes.
    """

    currency: str
    price: float
    low: float
    high: float
    nearest: tuple[SoldItem, ...]
    days: tuple[float, float, float] | None
    reused: tuple[tuple[Match, str], ...]
    draft: tuple[Guess, ...]
    title: str
    error: float
    kind_error: float
    covered: float
    tested: int
    by_kind: bool
    notes: tuple[str, ...] = ()
    photo: bytes = b""

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.price <= self.high:
            raise QueryError(f"A price lies in its range; found {self.low} {self.price} {self.high}.")

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        return ("product", "title", "price", "score", "same", "condition", "days", "seller")

    def rows(self) -> list[dict[str, Any]]:
        """The nearest items with a price."""
        return [
            {
                "product": item.product_id,
                "title": item.title,
                "price": item.price,
                "score": round(item.score, 4),
                "same": item.same,
                "condition": item.condition,
                "days": item.days,
                "seller": item.seller,
            }
            for item in self.nearest
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything but the photo."""
        days = None if self.days is None else dict(zip(("median", "low", "high"), self.days, strict=True))
        return {
            "currency": self.currency,
            "price": _rounded(self.price),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "coverage": 0.8,
            "nearest": self.rows(),
            "days_listed": days,
            "photo_used_by": [
                {"product": use.product, "seller": seller, "how": use.how, "score": round(use.score, 3)}
                for use, seller in self.reused
            ],
            "draft": {"title": self.title, "fields": [dict(vars(guess)) for guess in self.draft]},
            "measured": {
                "median_error": round(self.error, 4),
                "median_error_of_kind": round(self.kind_error, 4),
                "covered": round(self.covered, 4),
                "photos": self.tested,
            },
            "notes": list(self.notes),
        }

    def sections(self) -> Iterator[Section]:
        """The photo with its price and draft, where it is used already, and what was sold."""
        lines = tuple(f"{guess.field}: {guess.value}{_likely(guess)}" for guess in self.draft)
        asked = (Picture(self.photo, self.title, lines),) if self.photo else ()
        yield Section("Your photo", f"{self._range()} {self._days()}".strip(), asked)
        if self.reused:
            pictures = tuple(
                Picture(use.key, use.product, (use.how, *([f"seller {seller}"] if seller else [])), "bad")
                for use, seller in self.reused
            )
            yield Section("This very photo is used already", "Also where it was mirrored or cut.", pictures)
        sold = tuple(
            Picture(
                item.key,
                item.product_id,
                tuple(
                    part
                    for part in (
                        item.price,
                        item.title,
                        "the same product" if item.same else "",
                        item.condition,
                        "" if item.days is None else f"{item.days:.0f} days listed",
                    )
                    if part
                ),
                "good" if item.same else "",
            )
            for item in self.nearest
        )
        yield Section("Nearest items with a price", "", sold)

    def _range(self) -> str:
        low, price, high = (f"{_rounded(value):,g}" for value in (self.low, self.price, self.high))
        return f"{price} {self.currency}; 80 of 100 such products cost {low} to {high} {self.currency}."

    def _days(self) -> str:
        if self.days is None:
            return ""
        return "Such items were listed for {:.0f} days (80 of 100 for {:.0f} to {:.0f}).".format(*self.days)

    def summary(self) -> str:
        """The price, how surely, the draft, and whether the photo is used already."""
        said = [self._range(), self._days()]
        better = 1 - self.error / self.kind_error if self.kind_error else 0.0
        said.append(
            f"On {self.tested:,} of the store's own photos the median error was {self.error:.0%}"
            f" ({abs(better):.0%} {'less' if better >= 0 else 'more'} than the median of the kind has), and"
            f" {self.covered:.0%} of their prices were in such ranges."
        )
        parts = ", ".join(f"{guess.field} {guess.value}{_likely(guess)}" for guess in self.draft)
        said.append(f"Draft: {self.title}. {parts}.")
        for use, seller in self.reused[:3]:
            whose = f" by seller {seller}" if seller else ""
            said.append(f"This very photo ({use.how}) is used for product {use.product}{whose}.")
        return " ".join(part for part in (*said, *self.notes) if part)


def _likely(guess: Guess) -> str:
    return "" if guess.probability is None else f" ({guess.probability:.0%})"


def _rounded(amount: float) -> float:
    """Three figures: more would not be true."""
    return float(f"{amount:.3g}")


class PriceBook:
    """The products with a price in one currency, and what was learned from them: kept for many photos, and in the
    store's folder for the next process. Safe to share between threads.

    Args:
        context: The store.
        copies: Of the same store: finds photos that are used already.
        where: Which products count as sold.
        currency: Such as ``EUR``; by default the one that most products have.
        seed: Of what is drawn while learning.

    Raises:
        QueryError: too few products with a price.
    """

    def __init__(
        self,
        context: StoreContext,
        copies: NewPictures,
        where: Filter = NO_FILTER,
        *,
        currency: str = "",
        seed: int = 0,
    ) -> None:
        self._context, self._copies, self._seed, self.where = context, copies, seed, where
        everything = read_gallery(context, where)
        priced = [place for place in range(len(everything)) if (everything.product(place).price_minor or 0) > 0]
        often = Counter(everything.product(place).currency for place in priced)
        if not often:
            raise QueryError(
                f"None of {len(everything):,} photos has a product with a price. Add prices (a column 'price' and"
                " a currency) to estimate from."
            )
        self.currency = currency.upper() or often.most_common(1)[0][0]
        if self.currency not in often:
            raise QueryError(f"No product has a price in {self.currency}; there are {', '.join(sorted(often))}.")
        self.notes: list[str] = []
        if len(often) > 1:
            rest = ", ".join(f"{count:,} in {name}" for name, count in often.most_common() if name != self.currency)
            self.notes.append(
                f"Only prices in {self.currency} count ({often[self.currency]:,} photos); {rest} are left out, as"
                " currencies are not mixed."
            )
        own = [place for place in priced if everything.product(place).currency == self.currency]
        if len(own) < len(priced) or len(priced) < len(everything):
            without = len(everything) - len(priced)
            if without:
                self.notes.append(f"{counted(without, 'photo')} of products without a price did not count.")
        self.everything = everything
        self.gallery = Gallery(everything.keys[own], everything.vectors[own], everything.entries)
        self.products = [self.gallery.product(place) for place in range(len(self.gallery))]
        self.groups = _numbered(self.products)
        if (found := int(self.groups.max()) + 1) < LEAST:
            said = f"A price is learned from at least {LEAST} products with a price in one currency; found {found:,}"
            raise QueryError(" ".join([f"{said} in {self.currency}. Add products with prices.", *self.notes]))
        digits = MINOR_UNITS.get(self.currency, 2)
        self.prices = np.array([(product.price_minor or 0) / 10**digits for product in self.products])
        self._models: dict[tuple[bool, bool, bool], PriceModel] = {}
        self._learning = Lock()
        every = _numbered([everything.product(place) for place in range(len(everything))])
        self._drafter = Drafter(context, everything, every, seed=seed)

    def _column(self, names: Sequence[str]) -> str:
        """The attribute that is called one of these; empty where there is none."""
        known = {fold(name): name for product in self.products[:2000] for name in product.attributes}
        return next((known[name] for name in names if name in known), "")

    def labels(self, *, brand: bool, condition: bool) -> dict[str, list[str]]:
        """The columns of a model that knows these beside the kind."""
        kinds = [product.category[-1] if product.category else "" for product in self.products]
        found = {"kind": kinds} if any(kinds) else {}
        if brand:
            found["brand"] = [fold(product.brand) for product in self.products]
        if condition:
            column = self._column(CONDITIONS)
            found["condition"] = [fold(product.attributes.get(column, "")) for product in self.products]
        return found

    def model(self, *, brand: bool, condition: bool, kind: bool) -> PriceModel:
        """What was learned for photos of which these are known: by whoever asks first, while others wait."""
        asked = (brand, condition, kind)
        with self._learning:
            if asked not in self._models:
                labels = self.labels(brand=brand, condition=condition)
                name = "-".join([FILE, *labels, *(["told"] if kind else [])]) + ".npz"
                mark = f"1 {self._seed} {self.currency} {self.where}"
                model = fit_prices(
                    self.gallery.vectors,
                    self.prices,
                    labels,
                    self.groups,
                    kind_told=kind,
                    seed=self._seed,
                    kept=read_kept(self._context.folder / name, mark, LEARNED),
                )
                if model.is_new:
                    write_kept(self._context, name, mark, model.learned)
                self._models[asked] = model
            return self._models[asked]

    def estimate(
        self, image: ImageLike, *, condition: str = "", brand: str = "", kind: str = "", k: int = SHOWN
    ) -> PriceEstimate:
        """The price of one photo's product, see :class:`PriceEstimate`.

        Raises:
            ImageError: the picture cannot be used. QueryError: no column of conditions, or another condition or kind.
        """
        picture = to_image(image)
        notes = list(self.notes)
        brand, condition, kind = self._told(brand, condition, kind, notes)
        found = embed_images(self._context.encoder, [picture])
        vector = found.vectors[0]
        model = self.model(brand=bool(brand), condition=bool(condition), kind=bool(kind))
        told = {"brand": [fold(brand)], "condition": [fold(condition)], "kind": [kind]}
        estimate = model.estimate(vector[None], {name: told[name] for name in model.columns if told[name][0]})[0]
        answer = SearchEngine(self._context).search(Query(image=picture, k=4 * k, where=self.where))
        if answer.verdict is Verdict.NOTHING_CLOSE:
            notes.append("Nothing that has a price looks like this photo: take the price for a guess.")
        sold = self._sold(vector, answer, k)
        seller = self._column(SELLERS)
        uses = self._copies.check(image, self.where, least=LEAST_COPY).matches
        entries = self._context.catalog.entries([use.key for use in uses])
        reused = tuple((use, entries[use.key][0].attributes.get(seller, "")) for use in uses if use.key in entries)
        draft = self._drafter.guess(vector, _palette(found.products[0] or picture))
        return PriceEstimate(
            currency=self.currency,
            price=estimate.price,
            low=estimate.low,
            high=estimate.high,
            nearest=sold,
            days=self._days_of(vector, kind or next((each.value for each in draft if each.field == "kind"), "")),
            reused=reused,
            draft=draft,
            title=title_of(draft, brand),
            error=model.error,
            kind_error=model.kind_error,
            covered=model.covered,
            tested=model.tested,
            by_kind=estimate.by_kind,
            notes=tuple(notes),
            photo=_file_of(picture),
        )

    def _told(self, brand: str, condition: str, kind: str, notes: list[str]) -> tuple[str, str, str]:
        """What was told, as far as the store knows it."""
        if condition:
            column = self._column(CONDITIONS)
            if not column:
                raise QueryError("No product has a column 'condition'; ask without one, or add the column.")
            known = sorted({product.attributes.get(column, "") for product in self.products} - {""})
            if fold(condition) not in {fold(value) for value in known}:
                raise QueryError(f"The condition is one of {', '.join(known[:12])}; found '{condition}'.")
        if kind:
            kinds = {fold(product.category[-1]): product.category[-1] for product in self.products if product.category}
            if fold(kind) not in kinds:
                near = ", ".join(sorted(kinds.values())[:12])
                raise QueryError(f"No product with a price is of the kind '{kind}'. There are {near} ...")
            kind = kinds[fold(kind)]
        if brand and fold(brand) not in {fold(product.brand) for product in self.products}:
            notes.append(f"No product with a price is of the brand '{brand}': the price does not count it.")
            return "", condition, kind
        return brand, condition, kind

    def _sold(self, vector: NDArray[np.float32], answer: SearchResult, k: int) -> tuple[SoldItem, ...]:
        """The nearest products with a price, each once; ``answer`` says which of them are the same product."""
        near = nearest(vector[None], self.gallery.vectors, min(4 * k, len(self.gallery)))
        same = {hit.product.id for hit in answer if hit.verdict is Verdict.SAME_PRODUCT}
        condition, days, seller = (self._column(names) for names in (CONDITIONS, DAYS, SELLERS))
        items: dict[str, SoldItem] = {}
        for place, score in zip(near.keys[0].tolist(), near.scores[0].tolist(), strict=True):
            product = self.products[place]
            if product.id in items:
                continue
            items[product.id] = SoldItem(
                int(self.gallery.keys[place]),
                product.id,
                product.title,
                product.price,
                float(self.prices[place]),
                score,
                product.id in same,
                product.attributes.get(condition, ""),
                _number(product, days),
                product.attributes.get(seller, ""),
            )
        return tuple(list(items.values())[:k])

    def _days_of(self, vector: NDArray[np.float32], kind: str) -> tuple[float, float, float] | None:
        """For how long the nearest items of the kind were listed."""
        column = self._column(DAYS)
        if not column:
            return None
        near = nearest(vector[None], self.gallery.vectors, min(10 * DAYS_FROM, len(self.gallery))).keys[0]
        found = []
        for place in near.tolist():
            product = self.products[place]
            days = _number(product, column)
            if days is not None and (not kind or (product.category and product.category[-1] == kind)):
                found.append(days)
        if len(found) < 3:
            return None
        low, middle, high = np.quantile(found[:DAYS_FROM], (0.1, 0.5, 0.9)).tolist()
        return middle, low, high


def _numbered(products: Sequence[Product]) -> NDArray[np.int64]:
    """(n,) the number of each photo's product."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(product.id, len(numbers)) for product in products], np.int64)


def _number(product: Product, column: str) -> float | None:
    try:
        return float(product.attributes[column])
    except (KeyError, ValueError):
        return None


def _palette(image: Image.Image) -> bytes | None:
    value = PALETTE.of(image)
    return value if isinstance(value, bytes) else None


def _file_of(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    ImageOps.contain(image, (360, 360)).save(stream, "PNG")
    return stream.getvalue()
