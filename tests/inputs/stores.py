"""Catalogues of earlier versions of Lapel, made as those versions made them: their scripts, then rows as their code
wrote them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lapel.catalog import schema

FINGERPRINT = "model-of-then"
DIM = 8
MINOR = {"JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class OldProduct:
    """A product as versions 1 to 5 had it: no address, and any attribute that was not named like a field of then."""

    id: str
    title: str = ""
    category: tuple[str, ...] = ()
    gender: str = ""
    brand: str = ""
    colour: str = ""
    price_minor: int | None = None
    currency: str = ""
    in_stock: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def facets(self) -> list[tuple[str, str]]:
        """Names and values as versions 1 to 5 kept them; the currency was not among them."""
        known = [("gender", self.gender), ("brand", self.brand), ("colour", self.colour)]
        found = [(name, value) for name, value in known if value]
        found += [("category", " > ".join(self.category[: level + 1])) for level in range(len(self.category))]
        if self.in_stock is not None:
            found.append(("in_stock", "yes" if self.in_stock else "no"))
        found += [(name, part) for name, value in self.attributes.items() for part in value.split("|") if part]
        return list(dict.fromkeys((name, _shortened(value)) for name, value in found))

    def row(self) -> tuple[object, ...]:
        """The columns from ``id`` to ``attributes``, as versions 1 to 5 wrote them."""
        attributes = json.dumps(dict(sorted(self.attributes.items())), ensure_ascii=False, separators=(",", ":"))
        stock = None if self.in_stock is None else int(self.in_stock)
        category = json.dumps(self.category, ensure_ascii=False)
        texts = (self.id, self.title, category, self.gender, self.brand, self.colour, "")
        return (*texts, self.price_minor, self.currency, stock, attributes)


def old_store(path: Path, version: int, products: Sequence[OldProduct]) -> Path:
    """Write a catalogue of an earlier version, 1 to 5, with one photo and one vector for each product.

    Returns the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    for script in schema.MIGRATIONS[:version]:
        database.executescript(script)
    database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {version}")
    said = {"generation": "1", "fingerprint": FINGERPRINT, "model": "then", "encoder": "colour:", "dim": str(DIM)}
    database.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?)", said.items())
    database.execute("INSERT INTO model (id, fingerprint) VALUES (1, ?)", (FINGERPRINT,))
    for number, product in enumerate(products, start=1):
        _put(database, number, product)
    database.commit()
    database.close()
    return path


def store_of_version_6(path: Path) -> Path:
    """Write the catalogue that the code of version 6 wrote: a product that is shown, one that is delisted, one whose
    photo is out of reach. Returns the file."""
    database = sqlite3.connect(path)
    database.executescript((Path(__file__).parent / "store_6.sql").read_text(encoding="utf-8"))
    database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    database.execute("PRAGMA user_version = 6")
    database.commit()
    database.close()
    return path


def _put(database: sqlite3.Connection, number: int, product: OldProduct) -> None:
    row = product.row()
    text = "".join(f"{len(str(value))}:{value}," for value in row)
    content = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    price = None if product.price_minor is None else product.price_minor / 10 ** MINOR.get(product.currency, 2)
    database.execute(
        "INSERT INTO product (row, id, title, category, gender, brand, colour, season, price_minor, currency,"
        " in_stock, attributes,"
        " price, content_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, *row, price, content),
    )
    for name, value in product.facets():
        try:
            as_number: float | None = float(value)
        except ValueError:
            as_number = None
        database.execute(
            "INSERT OR IGNORE INTO term (name, value, folded, number) VALUES (?, ?, ?, ?)",
            (name, value, value.casefold(), as_number),
        )
        database.execute("INSERT INTO facet SELECT ?, id FROM term WHERE name = ? AND value = ?", (number, name, value))
    database.execute(
        "INSERT INTO photo (key, product_row, position, uri, stamp, sha256) VALUES (?, ?, 0, ?, 'stamp', ?)",
        (number, number, f"file:///pictures/{number}.jpg", f"sha-{number}"),
    )
    vector = np.zeros(DIM, "<f4")
    vector[number % DIM] = 1
    database.execute("INSERT INTO vector (key, model, data) VALUES (?, 1, ?)", (number, vector.tobytes()))


def _shortened(text: str) -> str:
    if len(text) <= 120:
        return text
    return f"{text[:80]}\u2026 {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"
