"""The catalogue's tables, as an ordered list of SQL scripts: script n brings a file from version n to version n + 1.

A script is never edited once a release carried it; a change is a new script at the end. ``migrate`` runs what is missing in one
transaction, so a file is at one version or at another, never between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lapel.core.errors import StoreDamaged, StoreMissing, StoreReadOnly, StoreTooNew

APPLICATION_ID = (
    0x4C41504C  # "LAPL" in the file's header, so another program's SQLite file is never taken for a catalogue
)

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO setting VALUES ('generation', '0');

    CREATE TABLE product (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        category TEXT NOT NULL,      -- JSON list, wide to narrow
        gender TEXT NOT NULL,
        brand TEXT NOT NULL,
        colour TEXT NOT NULL,
        season TEXT NOT NULL,
        price_minor INTEGER,
        currency TEXT NOT NULL,
        price REAL,                  -- price_minor in major units, what price<2000 compares
        in_stock INTEGER,
        attributes TEXT NOT NULL,    -- JSON object of texts
        content_hash TEXT NOT NULL
    );
    CREATE INDEX product_title ON product (title);
    CREATE INDEX product_price ON product (price);

    -- A key stands for the same bytes for ever: when a photo's bytes change it gets a new key (AUTOINCREMENT never reuses one).
    CREATE TABLE photo (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        product_row INTEGER NOT NULL REFERENCES product (row) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        uri TEXT NOT NULL,
        stamp TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        UNIQUE (product_row, uri)
    );

    CREATE TABLE model (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE);
    CREATE TABLE vector (
        key INTEGER PRIMARY KEY REFERENCES photo (key) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model (id),
        data BLOB NOT NULL           -- dim little-endian float32
    );
    CREATE INDEX vector_model ON vector (model);

    -- Facets: each distinct value once, and which products have it.
    CREATE TABLE term (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        folded TEXT NOT NULL,        -- the value as filters compare it, without case
        number REAL,                 -- the value as ranges compare it, when it is a number
        UNIQUE (name, value)
    );
    CREATE INDEX term_folded ON term (name, folded);
    CREATE TABLE facet (
        product_row INTEGER NOT NULL REFERENCES product (row) ON DELETE CASCADE,
        term INTEGER NOT NULL REFERENCES term (id),
        PRIMARY KEY (product_row, term)
    ) WITHOUT ROWID;
    CREATE INDEX facet_term ON facet (term, product_row);
    """,
    # Vectors of several models side by side, and what each model is, so that a store can change its model and go back.
    """
    CREATE TABLE vector_by_model (
        key INTEGER NOT NULL REFERENCES photo (key) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model (id),
        data BLOB NOT NULL,          -- dim little-endian float32
        PRIMARY KEY (key, model)
    );
    INSERT INTO vector_by_model SELECT key, model, data FROM vector ORDER BY key;
    DROP TABLE vector;
    ALTER TABLE vector_by_model RENAME TO vector;
    CREATE INDEX vector_model ON vector (model, key);

    ALTER TABLE model ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE model ADD COLUMN encoder TEXT NOT NULL DEFAULT '';  -- what opens it again
    ALTER TABLE model ADD COLUMN dim INTEGER NOT NULL DEFAULT 0;
    UPDATE model SET
        name = coalesce((SELECT value FROM setting WHERE setting.name = 'model'), ''),
        encoder = coalesce((SELECT value FROM setting WHERE setting.name = 'encoder'), ''),
        dim = coalesce((SELECT value FROM setting WHERE setting.name = 'dim'), 0)
    WHERE fingerprint = (SELECT value FROM setting WHERE setting.name = 'fingerprint');
    """,
    # Whose searched vector changed at which generation, so that an index catches up instead of being drawn again.
    """
    CREATE TABLE change (
        generation INTEGER NOT NULL,
        key INTEGER NOT NULL,
        PRIMARY KEY (generation, key)
    ) WITHOUT ROWID;
    INSERT INTO setting SELECT 'changes_since', value FROM setting WHERE name = 'generation';
    """,
    # Where a browser gets a picture, beside where its bytes were read from.
    """
    ALTER TABLE photo ADD COLUMN full_link TEXT NOT NULL DEFAULT '';
    ALTER TABLE photo ADD COLUMN thumbnail_link TEXT NOT NULL DEFAULT '';
    """,
    # Who is shown: products that their feed no longer names and photos that nobody can reach stay, hidden, with their vectors.
    """
    ALTER TABLE product ADD COLUMN feed TEXT NOT NULL DEFAULT '';  -- which feed named it last
    ALTER TABLE product ADD COLUMN gone TEXT NOT NULL DEFAULT '';  -- since when it is not named
    ALTER TABLE photo ADD COLUMN lost TEXT NOT NULL DEFAULT '';    -- since when it is hidden for being out of reach
    ALTER TABLE photo ADD COLUMN mark TEXT NOT NULL DEFAULT '';    -- what its server called these bytes, such as an ETag
    CREATE INDEX product_gone ON product (gone) WHERE gone <> '';
    CREATE INDEX photo_lost ON photo (lost) WHERE lost <> '';
    CREATE VIEW hidden AS
        SELECT key FROM photo WHERE lost <> ''
        UNION SELECT key FROM product JOIN photo ON product_row = product.row WHERE gone <> '';
    CREATE TABLE trouble (
        key INTEGER PRIMARY KEY REFERENCES photo (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,          -- dead, forbidden, unreachable, moved or changed
        reason TEXT NOT NULL,
        since TEXT NOT NULL,         -- when it was first found so
        seen TEXT NOT NULL           -- when it was last found so
    );
    """,
    # A product's page in the shop; prices are compared within their currency. What had these names as attributes makes room.
    """
    ALTER TABLE product ADD COLUMN url TEXT NOT NULL DEFAULT '';
    DROP INDEX product_price;
    CREATE INDEX product_price ON product (currency, price);

    UPDATE term SET name = 'table_' || name WHERE name IN ('url', 'currency');
    UPDATE product SET attributes = json_remove(json_set(attributes, '$.table_url', attributes ->> '$.url'), '$.url')
    WHERE attributes ->> '$.url' IS NOT NULL;
    UPDATE product SET attributes = json_remove(json_set(attributes, '$.table_currency', attributes ->> '$.currency'), '$.currency')
    WHERE attributes ->> '$.currency' IS NOT NULL;

    CREATE TEMP TABLE moved AS
        SELECT row, iif(attributes ->> '$.link' IS NULL, 'table_url', 'link') AS name FROM product;
    DELETE FROM moved WHERE NOT coalesce(
        (SELECT (address GLOB 'http://?*' OR address GLOB 'https://?*') AND NOT address GLOB '*[^!-~]*' AND NOT address GLOB '*["''()<>\\]*'
         FROM (SELECT attributes ->> ('$.' || moved.name) AS address FROM product WHERE product.row = moved.row)), 0);
    UPDATE product SET url = attributes ->> ('$.' || moved.name), attributes = json_remove(attributes, '$.' || moved.name)
    FROM moved WHERE moved.row = product.row;
    DELETE FROM facet WHERE EXISTS (
        SELECT 1 FROM moved JOIN term ON term.name = moved.name WHERE moved.row = product_row AND term.id = term);
    DELETE FROM term WHERE name IN ('link', 'table_url') AND NOT EXISTS (SELECT 1 FROM facet WHERE facet.term = term.id);
    DROP TABLE moved;

    INSERT INTO term (name, value, folded) SELECT DISTINCT 'currency', currency, lower(currency) FROM product WHERE price IS NOT NULL;
    INSERT INTO facet SELECT product.row, term.id FROM product JOIN term ON name = 'currency' AND value = currency WHERE price IS NOT NULL;
    """,
)


def migrate(database: sqlite3.Connection, path: Path, *, create: bool, read_only: bool) -> None:
    """Bring an open catalogue to the newest version, or say why not.

    Raises:
        StoreTooNew: a newer Lapel wrote it.
        StoreDamaged: it is an SQLite file, but no catalogue.
        StoreMissing: it is an empty file and ``create`` is false.
        StoreReadOnly: it is older and may not be written.
    """
    newest = len(MIGRATIONS)
    if _version(database, path, create=create) == newest:
        return
    if read_only:
        raise StoreReadOnly(
            f"The catalogue {path} has version {_version(database, path, create=create)} and must be brought to {newest}, "
            "but it may not be written to. Open it once where it can be written."
        )
    database.execute("BEGIN IMMEDIATE")
    try:
        # Asked again inside the transaction: another process may have migrated it while this one waited.
        for script in MIGRATIONS[_version(database, path, create=create) :]:
            for statement in _statements(script):
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {newest}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection, path: Path, *, create: bool) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    application = int(database.execute("PRAGMA application_id").fetchone()[0])
    tables = int(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if not version and not application and not tables:
        if create:
            return 0
        raise StoreMissing(
            f"The catalogue {path} is empty: its making was interrupted. Run: lapel add PICTURES --store {path.parent}"
        )
    if application != APPLICATION_ID:
        raise StoreDamaged(
            f"{path} is an SQLite file of another program, not a Lapel catalogue. Choose another folder with --store."
        )
    if version > len(MIGRATIONS):
        raise StoreTooNew(
            f"The catalogue {path} has version {version}; this Lapel reads up to version {len(MIGRATIONS)}. "
            "Nothing was changed. Run: pip install --upgrade lapel"
        )
    return version


def _statements(script: str) -> Iterator[str]:
    """One statement at a time: sqlite3's own executescript would commit halfway."""
    pending = ""
    for piece in script.split(";")[:-1]:
        pending += piece + ";"
        if sqlite3.complete_statement(pending):  # false inside a text, a comment or a trigger's body
            yield pending
            pending = ""
