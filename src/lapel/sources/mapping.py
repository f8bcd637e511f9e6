"""Which column of a table fills which field of a product: found by the columns' names, or told with texts such as
``title=name``.

The rule for a text ``field=source``: ``source`` is a column of the table; or ``a>b>c``, columns from wide to narrow,
for the category; or a fixed text in quotes, ``brand='Acme'``; or, for the currency, three capital letters. ``field=``
leaves a field empty.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from lapel.core.errors import TableError
from lapel.core.types import FIELDS
from lapel.sources.cells import looks_like_image, photo_names

TARGETS: Final = tuple("id title category gender brand colour season price currency in_stock pictures url".split())

# What columns are called in German, French, Spanish, Italian, Portuguese, Dutch and Polish.
_OTHER_LANGUAGES: Mapping[str, str] = {
    "id": "artikelnummer artikel_nr artikel_id art_nr produktnummer produkt_id reference ref referencia codigo codice"
    " artikelcode",
    "title": "titel bezeichnung artikelbezeichnung artikelname produktname produkttitel titre nom nom_du_produit"
    " designation libelle titulo nombre nombre_del_producto titolo nome nome_prodotto nome_do_produto naam productnaam"
    " nazwa nazwa_produktu",
    "category": "kategorie warengruppe produktkategorie categorie categoria kategoria",
    "gender": "geschlecht genre sexe genero sexo genere sesso geslacht plec",
    "brand": "marke hersteller marque fabricant marca marchio merk fabrikant marka producent",
    "colour": "farbe couleur cor colore kleur kolor",
    "season": "saison temporada stagione estacao seizoen sezon",
    "price": "preis verkaufspreis bruttopreis prix prix_ttc precio prezzo preco prijs cena",
    "currency": "wahrung waehrung devise moneda divisa valuta moeda waluta",
    "in_stock": "bestand lagerbestand verfugbar verfuegbar verfugbarkeit verfuegbarkeit disponibilite existencias"
    " disponibilidad disponibilita giacenza estoque disponibilidade voorraad dostepnosc",
}
# Names that shop systems and data sets use, best first; compared as :func:`plain_name` does.
SYNONYMS: Mapping[str, Sequence[str]] = {
    name: f"{names} {_OTHER_LANGUAGES.get(name, '')}".split()
    for name, names in {
        "id": "id product_id item_id article_id sku asin handle code",
        "title": "title name product_name product_title product_display_name display_name prod_name label",
        "category": "category product_category category_path google_product_category product_type product_type_name"
        " type",
        "gender": "gender sex target_gender",
        "brand": "brand brand_name manufacturer vendor designer",
        "colour": "colour color colour_name color_name base_colour base_color main_colour colour_group_name",
        "season": "season",
        "price": "price retail_price unit_price sale_price list_price",
        "currency": "currency currency_code price_currency",
        "in_stock": "in_stock stock availability available inventory quantity",
        "url": "url link product_url product_link product_page page_url permalink deeplink external_url canonical_url"
        " web_url shop_url",
        "pictures": "pictures images image_urls picture_urls photos image_links image_paths fotos bilder main_image"
        " main_image_url primary_image featured_image product_image product_image_url image image_url image_link"
        " image_src image_href image_uri image_path image_file image_filename image_file_name image_name img imgs"
        " img_url img_src img_path picture picture_url picture_path pic pics pic_url photo photo_url photo_path foto"
        " foto_url bild bild_url imagen imagenes immagine immagini cover_image path file filename file_name",
    }.items()
}
# Columns of these names hold photos only if their cells say so.
MAYBE_PHOTOS: Final = (
    "url urls link links src href uri media asset assets location cover preview thumbnail thumbnail_url thumb thumb_url"
    " small_image"
).split()
MORE_PHOTOS: Final = (
    "additional_images additional_image additional_image_link additional_image_links other_images extra_images"
    " more_images alt_images gallery gallery_images image_gallery additional_image_urls"
).split()
THUMBNAILS: Final = frozenset("thumbnail thumbnailurl thumb thumburl smallimage preview".split())
PHOTO_WORDS: Final = frozenset("image images img photo photos picture pictures pic foto bild".split())
SMALL_WORDS: Final = frozenset("thumb thumbnail small swatch icon logo preview mini".split())
MIN_PHOTO_SHARE = 0.6  # of a column's cells that name photos, above which it is taken for one of photos

# Tables recognised as a whole: all of these columns, then these sources.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "fashion-products": {
        "id": "id",
        "title": "productDisplayName",
        "category": "masterCategory>subCategory>articleType",
        "gender": "gender",
        "colour": "baseColour",
        "season": "season",
    }
}
# Other names of fields that --map knows.
ALIASES: Final = {
    **{"color": "colour", "stock": "in_stock", "link": "url"},
    **dict.fromkeys(("picture", "image", "images", "photo", "photos"), "pictures"),
}
# What fills these would only be said twice if it were an attribute as well.
FIELD_ONLY: Final = frozenset("id title price currency in_stock pictures url".split())


@dataclass(frozen=True)
class ColumnMap:
    """How to read a table's columns.

    Attributes:
        preset: A name of :data:`PRESETS`; ``auto`` takes the one whose columns are all there, else goes by the columns'
            names.
        overrides: Sources by field, which count more than the preset.
    """

    preset: str = "auto"
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset not in ("auto", "lapel", *PRESETS):
            raise TableError(f"No preset is called '{self.preset}'. There are: auto, lapel, {', '.join(PRESETS)}.")
        unknown = [name for name in self.overrides if name not in TARGETS]
        if unknown:
            raise TableError(
                f"--map fills the fields {', '.join(TARGETS)}; found '{unknown[0]}'. Every other column becomes an"
                f" attribute."
            )

    @classmethod
    def parse(cls, texts: Iterable[str], *, preset: str = "auto") -> ColumnMap:
        """Read texts such as ``title=name``, ``category=department>type`` or ``currency=EUR``.

        Raises:
            TableError: a text without ``=``, an unknown field or preset, or a field twice.
        """
        overrides: dict[str, str] = {}
        for text in texts:
            name, equals, source = (part.strip() for part in text.partition("="))
            name = ALIASES.get(name, name)
            if not equals:
                raise TableError(
                    f"--map '{text}' is not understood. Write field=column, such as title=name or currency=EUR."
                )
            if name in overrides:
                raise TableError(f"--map fills '{name}' twice: with '{overrides[name]}' and with '{source}'. Give one.")
            overrides[name] = source
        return cls(preset, overrides)

    def resolve(self, columns: Sequence[str], sample: Sequence[Mapping[str, Any]] = ()) -> Plan:
        """Decide what fills each field of a table with these columns.

        Args:
            columns: The columns' names.
            sample: Some of its records, which tell columns of photos from others.

        Raises:
            TableError: a column that is not there, or no column for the id.
        """
        preset = self._recognise(columns)
        sources: dict[str, Source] = {}
        for name in TARGETS:
            if name in self.overrides:
                wanted = self.overrides[name]
                if wanted:
                    sources[name] = _source(name, wanted, columns)
            elif preset and name in PRESETS[preset]:
                sources[name] = _source(name, PRESETS[preset][name], columns)
        notes: list[str] = []
        if not preset:
            _guess(columns, sources, [name for name in TARGETS if name not in (*self.overrides, "pictures", "url")])
        if "pictures" not in sources and "pictures" not in self.overrides:
            taken = {column for source in sources.values() for column in source.columns}
            free = [column for column in columns if column and column not in taken]
            found, others, note = _photo_columns(free, sample)
            if found:
                sources["pictures"] = Source(tuple(found), others=tuple(others))
                notes += [note] if note else []
        if not preset and "url" not in self.overrides:
            # A column of photos is no product's page, whatever it is called.
            pages = [column for column in columns if _photo_share(column, sample) < MIN_PHOTO_SHARE]
            _guess(pages, sources, ["url"])
        if "id" not in sources:
            raise TableError(
                f"The table has no column for the product's id. Its columns are: {', '.join(columns)}. Say which:"
                f" --map id=COLUMN"
            )
        dropped = {column for name in FIELD_ONLY if name in sources for column in sources[name].columns}
        dropped |= {
            column
            for name, source in sources.items()
            for column in source.columns
            if len(source.columns) == 1  # and no level of a category
            and plain_name(column) in map(plain_name, _OTHER_LANGUAGES.get(name, "").split())  # it is the field's name
        }
        used = {column for source in sources.values() for column in source.columns}
        names: dict[str, str] = {}
        for column in columns:
            # A raw column behind category or colour stays under its own name, unless that is the field's own name.
            if column and column not in dropped and not (column in used and column.casefold() in FIELDS):
                names[column] = f"table_{column}" if column in FIELDS else column
        return Plan(preset or "lapel", sources, names, tuple(notes))

    def _recognise(self, columns: Sequence[str]) -> str:
        if self.preset in PRESETS:
            return self.preset
        for name, sources in PRESETS.items() if self.preset == "auto" else ():
            if {column for source in sources.values() for column in source.split(">")} <= set(columns):
                return name
        return ""


@dataclass(frozen=True)
class Source:
    """What fills one field: columns, or a fixed text.

    Attributes:
        columns: One column, or several for a category's levels or for photos; none when ``fixed`` is used.
        fixed: The same text for every product.
        others: Columns of photos that count in rows where ``columns`` are empty, the best first.
    """

    columns: tuple[str, ...] = ()
    fixed: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A mapping that fits one table.

    Attributes:
        preset: The preset that was used; ``lapel`` when the columns' names decided.
        sources: What fills each field that is filled.
        attributes: The attribute's name for each column that becomes one.
        notes: What was guessed by the cells rather than by the columns' names, a sentence each.
    """

    preset: str
    sources: Mapping[str, Source]
    attributes: Mapping[str, str]
    notes: tuple[str, ...] = ()


@cache
def plain_name(name: str) -> str:
    """A column's name as names are compared: without case, accents, blanks, dots, - and _."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return re.sub(r"[\s_.\-]+", "", bare).casefold().replace("ł", "l")


def _guess(columns: Sequence[str], sources: dict[str, Source], targets: Iterable[str]) -> None:
    plain: dict[str, str] = {}
    for column in columns:
        plain.setdefault(plain_name(column), column)
    taken = {column for source in sources.values() for column in source.columns}
    for name in targets:
        for synonym in SYNONYMS[name]:
            found = plain.get(plain_name(synonym))
            if found is not None and found not in taken:
                sources[name] = Source((found,))
                taken.add(found)
                break


def _photo_columns(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str], str]:
    """The columns that name photos, those that count where these are empty, and what to say when the cells decided, not
    the names."""
    plain = {plain_name(column): column for column in reversed(columns)}
    named = [plain[known] for known in map(plain_name, SYNONYMS["pictures"]) if known in plain]
    numbered = sorted(filter(_numbered, columns), key=lambda column: int(re.sub(r"\D", "", column)[:4]))
    share = {column: _photo_share(column, sample) for column in columns}
    # A name decides, unless another column's cells say clearly that it is the one.
    main = next((column for column in named if share[column] >= MIN_PHOTO_SHARE), None)
    guess = ""
    if main is None and not any(share[column] >= MIN_PHOTO_SHARE for column in numbered):
        maybe = [plain[known] for known in map(plain_name, MAYBE_PHOTOS) if known in plain]
        others = [column for column in columns if column not in (*maybe, *named, *numbered)]
        alike = [column for column in others if _speaks_of_photos(column)]
        small = [column for column in maybe if plain_name(column) in THUMBNAILS]
        order = (*alike, *(column for column in maybe if column not in small), *others, *small)
        guess = next((column for column in order if share[column] >= MIN_PHOTO_SHARE), "")
        main = guess or next(
            (column for column in named if _filled(column, sample)), "" if sample else named[0] if named else ""
        )
    if not main and not numbered:  # links of a CDN often have no ending
        guess = next(
            (column for column in columns if plain_name(column) in THUMBNAILS and _are_links(column, sample)), ""
        )
        main = guess or None
    if plain_name(main or "") == "pictures":
        return [str(main)], [], ""
    more = [plain[known] for known in map(plain_name, MORE_PHOTOS) if known in plain]
    family = [
        column for column in columns if guess and share[column] >= MIN_PHOTO_SHARE and _belong_together(column, guess)
    ]
    found = list(dict.fromkeys(filter(None, (main, *family, *(() if guess else numbered), *more))))
    note = f"Pictures are taken from the column {' and '.join(map(repr, found))}, as its cells look like pictures'"
    others = [column for column in named if share[column] >= MIN_PHOTO_SHARE and column not in found]
    if guess:
        return found, others, f"{note} names. If that is wrong, say it: --map pictures=COLUMN"
    also = f"{' and '.join(map(repr, others))} name pictures too, and count where '{main}' is empty" if others else ""
    return found, others, also


def _belong_together(column: str, guess: str) -> bool:
    """Whether two columns hold photos of one kind: numbered, or front and back."""
    return _family(column) == _family(guess) or (_speaks_of_photos(column) and _speaks_of_photos(guess))


def _speaks_of_photos(column: str) -> bool:
    """Whether a name such as ``Front Image`` or ``photoBack`` has a word for photos in it, and none for small ones."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)}
    return bool(words & PHOTO_WORDS) and not words & SMALL_WORDS


def _family(column: str) -> str:
    """A column's name without the numbers in it."""
    return re.sub(r"\d+", "", plain_name(column))


def _numbered(column: str) -> bool:
    """Whether it is one of ``image1``, ``image_2``, ``Image 3 URL``, ``additional_image_4`` ..."""
    bare = _family(column).removeprefix("additional").removeprefix("alt").removeprefix("other").removeprefix("extra")
    return bool(re.search(r"\d", column)) and bare in {plain_name(known) for known in SYNONYMS["pictures"][:-4]}


def _filled(column: str, sample: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """What a column's cells that are not empty name."""
    return [names for cells in sample if (names := photo_names(cells.get(column)))]


def _are_links(column: str, sample: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column's filled cells are links, whatever these end with."""
    filled = _filled(column, sample)
    return bool(filled) and all(name.startswith(("http://", "https://", "//")) for names in filled for name in names)


def _photo_share(column: str, sample: Sequence[Mapping[str, Any]]) -> float:
    """How many of a column's filled cells name photos; 0 when none is filled."""
    filled = _filled(column, sample)
    return sum(all(map(looks_like_image, names)) for names in filled) / max(len(filled), 1)


def _source(name: str, wanted: str, columns: Sequence[str]) -> Source:
    if wanted in columns:
        return Source((wanted,))
    if len(wanted) >= 2 and wanted[0] == wanted[-1] and wanted[0] in "'\"":
        return Source(fixed=wanted[1:-1].strip())
    parts = [part.strip() for part in wanted.split(">")] if name == "category" else [wanted]
    found = []
    for part in parts:
        alike = [column for column in columns if column == part] or [
            column for column in columns if plain_name(column) == plain_name(part)
        ]
        if len(alike) != 1:
            if name == "currency" and re.fullmatch("[A-Z]{3}", wanted):
                return Source(fixed=wanted)
            quoted = f"a fixed text goes in quotes, {name}='{part}'"
            hint = "a currency is three capital letters, currency=EUR" if name == "currency" else quoted
            raise TableError(
                f"The table has no column '{part}' for {name}. Its columns are: {', '.join(columns)} ({hint})."
            )
        found.append(alike[0])
    return Source(tuple(found))
