"""Exports of shop systems as people change them, made from code; each is written to a path, which is returned."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

WOO = ("ID", "Type", "SKU", "Name", "Published", "Visibility in catalog", "Regular price", "Images", "Parent")
SHOPIFY = (
    "Handle",
    "Title",
    "Vendor",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Variant Price",
    "Image Src",
    "Status",
)


def _write(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def woocommerce(path: Path) -> Path:
    """Two products that are shown, one of them without SKU, and four that are not."""
    shown = (("1", "A", "1", "visible"), ("2", "B", "-1", "visible"), ("3", "", "1", "visible"))
    hidden = (("4", "D", "1", "hidden"), ("5", "E", "0", "visible"), ("6", "F", "-1", "visible"))
    rows = [
        (n, "simple", sku, f"Shirt {n}", seen, where, "19.90", f"{n}.jpg", "") for n, sku, seen, where in shown + hidden
    ]
    return _write(path, [WOO, *rows])


def shopify(path: Path) -> Path:
    """A product whose first row is not the one with its title, one without a handle, and a draft."""
    return _write(
        path,
        [
            SHOPIFY,
            ("hat", "", "", "", "", "M", "20.00", "https://cdn.shop.example/hat2.jpg", ""),
            ("hat", "Hat", "Acme", "true", "Size", "S", "20.00", "https://cdn.shop.example/hat.jpg", "active"),
            ("", "Nameless", "Acme", "true", "Size", "S", "5.00", "https://cdn.shop.example/n.jpg", "active"),
            ("new", "New", "Acme", "true", "Size", "S", "9.00", "https://cdn.shop.example/new.jpg", "draft"),
        ],
    )


def atom(path: Path) -> Path:
    """A child's dress and a man's hat in Atom, with ids of its own beside Google's."""
    dress = (
        "<entry><id>tag:shop,1</id><g:id>D1</g:id><title>Dress</title><link href='https://shop.example/d1'/>"
        "<g:gender>female</g:gender><g:age_group>kids</g:age_group><g:image_link>https://img.example/1.jpg</g:image_link></entry>"
    )
    hat = (
        "<entry><id>tag:shop,2</id><g:id>H1</g:id><title>Hat &amp;amp; scarf</title><link href='javascript:alert(1)'/>"
        "<g:gender>male</g:gender><g:image_link>https://img.example/2.jpg</g:image_link></entry>"
    )
    head = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
    path.write_text(f"{head}{dress}{hat}</feed>", encoding="utf-8")
    return path
