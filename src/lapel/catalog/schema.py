"""The catalogue's tables, as an ordered list of SQL scripts: script n brings a file from version n to version n + 1.

A script is never edited once a release carried it; a change is a new script at the end. ``migrate`` runs what is
missing in one transaction, so a file is at one version or at another, never between.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from lapel.catalog.entries import attributes_json, hash_row, term_number, term_value
from lapel.core.errors import StoreDamagedError, StoreNotFoundError, StoreReadOnlyError, StoreTooNewError
from lapel.core.text import fold
from lapel.core.types import is_web_address

logger = logging.getLogger(__name__)


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

    -- A key stands for the same bytes for ever: when a photo's bytes change it gets a new key (AUTOINCREMENT never
    -- reuses one).
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
    # Who is shown: products that their feed no longer names and photos that nobody can reach stay, hidden, with their
    # vectors.
    """
    ALTER TABLE product ADD COLUMN feed TEXT NOT NULL DEFAULT '';  -- which feed named it last
    ALTER TABLE product ADD COLUMN gone TEXT NOT NULL DEFAULT '';  -- since when it is not named
    ALTER TABLE photo ADD COLUMN lost TEXT NOT NULL DEFAULT '';    -- since when it is hidden for being out of reach
    -- What its server called these bytes, such as an ETag.
    ALTER TABLE photo ADD COLUMN mark TEXT NOT NULL DEFAULT '';
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
    # A product's page in the shop; prices are compared within their currency. What had these names as attributes makes
    # room. Values are folded as core/text.py says. The functions are those of _register below.
    """
    ALTER TABLE product ADD COLUMN url TEXT NOT NULL DEFAULT '';
    DROP INDEX product_price;
    CREATE INDEX product_price ON product (currency, price);
    UPDATE term SET folded = fold(value) WHERE folded <> fold(value);

    CREATE TEMP TABLE moved (row INTEGER PRIMARY KEY);
    INSERT INTO moved SELECT row FROM product WHERE coalesce(
        attributes ->> '$.link', attributes ->> '$.url', attributes ->> '$.currency') IS NOT NULL;
    DELETE FROM facet WHERE term IN (SELECT id FROM term WHERE name IN ('link', 'url', 'currency'));
    UPDATE product SET url = address_in(attributes), attributes = without_address(attributes)
    WHERE row IN (SELECT row FROM moved);
    UPDATE product SET content_hash = hash_of(
        id, title, category, gender, brand, colour, season, price_minor, currency, in_stock, attributes, url)
    WHERE row IN (SELECT row FROM moved);
    INSERT OR IGNORE INTO term (name, value, folded, number)
        SELECT DISTINCT value ->> 0, value ->> 1, fold(value ->> 1), value ->> 2
        FROM moved CROSS JOIN product USING (row) CROSS JOIN json_each(terms_of(attributes));
    INSERT OR IGNORE INTO facet (product_row, term)
        SELECT product.row, term.id FROM moved CROSS JOIN product USING (row)
        CROSS JOIN json_each(terms_of(attributes)) AS made
        CROSS JOIN term ON term.name = made.value ->> 0 AND term.value = made.value ->> 1;
    DROP TABLE moved;

    INSERT INTO term (name, value, folded)
        SELECT DISTINCT 'currency', currency, fold(currency) FROM product WHERE price IS NOT NULL;
    INSERT INTO facet
        SELECT product.row, term.id FROM product JOIN term ON name = 'currency' AND value = currency
        WHERE price IS NOT NULL;
    DELETE FROM term WHERE NOT EXISTS (SELECT 1 FROM facet WHERE facet.term = term.id);
    """,
    # History: when products and photos came and changed, a log of changes that readers with a cursor go on from, past
    # prices. Beside it features of photos, the search for words, and the field's own names for columns.
    """
    DROP VIEW hidden;
    DROP INDEX product_gone;
    DROP INDEX photo_lost;
    ALTER TABLE product RENAME COLUMN gone TO delisted_at;
    ALTER TABLE photo RENAME COLUMN lost TO unreachable_at;
    ALTER TABLE photo RENAME COLUMN stamp TO version_token;
    ALTER TABLE photo RENAME COLUMN mark TO etag;
    ALTER TABLE trouble RENAME TO media_issue;
    CREATE INDEX product_delisted ON product (delisted_at) WHERE delisted_at <> '';
    CREATE INDEX photo_unreachable ON photo (unreachable_at) WHERE unreachable_at <> '';
    CREATE VIEW hidden AS
        SELECT key FROM photo WHERE unreachable_at <> ''
        UNION SELECT key FROM product JOIN photo ON product_row = product.row WHERE delisted_at <> '';

    -- UTC, such as 2026-11-28T22:50:00Z; empty for what is older than these columns.
    ALTER TABLE product ADD COLUMN added_at TEXT NOT NULL DEFAULT '';
    ALTER TABLE product ADD COLUMN changed_at TEXT NOT NULL DEFAULT '';
    ALTER TABLE photo ADD COLUMN added_at TEXT NOT NULL DEFAULT '';
    ALTER TABLE photo ADD COLUMN changed_at TEXT NOT NULL DEFAULT '';

    CREATE TABLE change_log (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        product_id TEXT NOT NULL,    -- empty for what is about no product
        photo_key INTEGER,
        detail TEXT NOT NULL         -- JSON object
    );
    INSERT INTO change_log (generation, at, kind, product_id, photo_key, detail)
        SELECT generation, '', iif(product.id IS NULL, 'photo_removed', 'photo_changed'), coalesce(product.id, ''),
            change.key, '{}'
        FROM change LEFT JOIN photo ON photo.key = change.key LEFT JOIN product ON product.row = product_row
        ORDER BY generation, change.key;
    DROP TABLE change;
    CREATE INDEX change_log_photo ON change_log (generation, photo_key) WHERE photo_key IS NOT NULL;
    CREATE INDEX change_log_visibility ON change_log (generation, product_id)
        WHERE kind IN ('product_delisted', 'product_relisted');
    -- No reader has seen what happened before: the feed starts behind it, and not at 0 where there are products.
    DELETE FROM sqlite_sequence WHERE name = 'change_log';  -- an INSERT of no rows has left a 0
    INSERT INTO sqlite_sequence (name, seq) SELECT 'change_log',
        max(coalesce((SELECT max(sequence) FROM change_log), 0), EXISTS (SELECT 1 FROM product));
    INSERT INTO setting SELECT 'feed_start', seq FROM sqlite_sequence WHERE name = 'change_log';
    CREATE TABLE cursor (
        name TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        updated_at TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE price_history (
        product_row INTEGER NOT NULL REFERENCES product (row) ON DELETE CASCADE,
        generation INTEGER NOT NULL, -- 0 for what is older than this table
        at TEXT NOT NULL,
        price_minor INTEGER,
        currency TEXT NOT NULL,
        in_stock INTEGER,
        PRIMARY KEY (product_row, generation)
    ) WITHOUT ROWID;
    INSERT INTO price_history SELECT row, 0, '', price_minor, currency, in_stock FROM product;

    CREATE TABLE feature (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        UNIQUE (name, version)
    );
    CREATE TABLE photo_feature (
        key INTEGER NOT NULL REFERENCES photo (key) ON DELETE CASCADE,
        feature INTEGER NOT NULL REFERENCES feature (id),
        data BLOB NOT NULL,
        PRIMARY KEY (feature, key)
    ) WITHOUT ROWID;
    CREATE INDEX photo_feature_key ON photo_feature (key);

    CREATE VIEW product_words AS
        SELECT row, id, title, brand, colour,
            (SELECT group_concat(value, ' ') FROM json_each(category)) AS category, gender, season,
            (SELECT group_concat(value, ' ') FROM json_each(attributes)) AS attributes
        FROM product;
    -- Vowel signs (Mn, Mc) are parts of words in the scripts of India and others.
    CREATE VIRTUAL TABLE product_text USING fts5 (
        id, title, brand, colour, category, gender, season, attributes,
        content = 'product_words', content_rowid = 'row',
        tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
    );
    INSERT INTO product_text (rowid, id, title, brand, colour, category, gender, season, attributes)
        SELECT row, id, title, brand, colour, category, gender, season, attributes FROM product_words;
    """,
    # What the HTTP API keeps: who may ask, work that goes on after its answer, and answers that a repeated request gets
    # again.
    """
    CREATE TABLE api_key (
        id TEXT PRIMARY KEY,         -- public: it stands in the key
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,        -- with blanks between them
        secret_hash BLOB NOT NULL,   -- SHA-256 of the secret
        signing_key BLOB NOT NULL,   -- what scoped keys are signed with; derived from the secret
        created_at TEXT NOT NULL,
        revoked_at TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID;

    CREATE TABLE job (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,         -- id of the key that asked
        state TEXT NOT NULL,         -- queued, running, done, failed or cancelled
        request TEXT NOT NULL,       -- JSON object
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        result TEXT NOT NULL DEFAULT '',   -- JSON object
        error TEXT NOT NULL DEFAULT '',    -- JSON object
        cancel INTEGER NOT NULL DEFAULT 0, -- whether somebody asked to stop it
        runner TEXT NOT NULL DEFAULT '',   -- which process works on it
        seen_at REAL NOT NULL DEFAULT 0,   -- when that one last said so, seconds since 1970
        created_at TEXT NOT NULL,
        started_at TEXT NOT NULL DEFAULT '',
        finished_at TEXT NOT NULL DEFAULT '',
        webhook TEXT NOT NULL DEFAULT '',
        webhook_secret TEXT NOT NULL DEFAULT '',
        webhook_state TEXT NOT NULL DEFAULT '',  -- waiting, delivered or given up
        webhook_tries INTEGER NOT NULL DEFAULT 0,
        webhook_next REAL NOT NULL DEFAULT 0     -- when to try again, seconds since 1970
    ); -- its row numbers say which of two jobs of one second came first
    CREATE INDEX job_state ON job (state, created_at);
    CREATE INDEX job_webhook ON job (webhook_next) WHERE webhook_state = 'waiting';

    CREATE TABLE api_replay (
        key TEXT PRIMARY KEY,        -- hash of who asked, what for, and the request's own key
        request_hash TEXT NOT NULL,
        status INTEGER NOT NULL,     -- 0 while it is being worked on
        type TEXT NOT NULL,
        body BLOB NOT NULL,
        at REAL NOT NULL             -- seconds since 1970
    ) WITHOUT ROWID;
    CREATE INDEX api_replay_at ON api_replay (at);

    CREATE INDEX photo_sha256 ON photo (sha256);
    """,
    # What a shop wants of its answers, in its own order; every change raises the number that answers are kept under.
    """
    CREATE TABLE rule (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        action TEXT NOT NULL,        -- pin, hide, boost, bury or stock-first
        body TEXT NOT NULL,          -- JSON object: which products, where, when, how much
        created_at TEXT NOT NULL
    );
    INSERT INTO setting VALUES ('rules_version', '0');
    """,
    # The hash that copies are found by serves wherever photos are compared by their looks.
    """
    DELETE FROM photo_feature WHERE feature IN (SELECT id FROM feature WHERE name = 'perceptual_hash');
    DELETE FROM feature WHERE name = 'perceptual_hash';
    """,
)


def migrate(
    database: sqlite3.Connection,
    path: Path,
    *,
    create: bool,
    read_only: bool,
    scripts: Sequence[str] | None = None,
) -> None:
    """Bring an open catalogue to the newest version, or say why not.

    Args:
        database: Its connection.
        path: Its file.
        create: Whether an empty file is to become one.
        read_only: Whether it may not be written.
        scripts: Those of another file of a store, in place of :data:`MIGRATIONS`.

    Raises:
        StoreTooNewError: a newer Lapel wrote it.
        StoreDamagedError: it is an SQLite file, but no catalogue.
        StoreNotFoundError: it is an empty file and ``create`` is false.
        StoreReadOnlyError: it is older and may not be written.
    """
    scripts = MIGRATIONS if scripts is None else scripts
    newest = len(scripts)
    if _version(database, path, newest, create=create) == newest:
        return
    if read_only:
        raise StoreReadOnlyError(
            f"The catalogue {path} has version {_version(database, path, newest, create=create)} and must be brought to"
            f" {newest}, "
            "but it may not be written to. Open it once where it can be written."
        )
    logger.info("%s is brought to version %d", path, newest)
    _register(database)
    database.execute("BEGIN IMMEDIATE")
    try:
        # Asked again inside the transaction: another process may have migrated it while this one waited.
        for script in scripts[_version(database, path, newest, create=create) :]:
            for statement in _statements(script):
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {newest}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # on a full disk SQLite has undone it already
            database.execute("ROLLBACK")
        raise


def _register(database: sqlite3.Connection) -> None:
    """The functions that the scripts call beside SQLite's own."""
    database.create_function("fold", 1, fold, deterministic=True)
    database.create_function("address_in", 1, lambda text: _split_address(text)[0], deterministic=True)
    database.create_function("without_address", 1, lambda text: _split_address(text)[1], deterministic=True)
    database.create_function("terms_of", 1, _terms_of, deterministic=True)
    database.create_function("hash_of", 12, lambda *row: hash_row(row), deterministic=True)


def _split_address(text: str) -> tuple[str, str]:
    """Attributes (JSON) of before version 6 -> the address of the product's page, empty where there is no safe one, and
    what remains.

    ``link`` is asked first, as feeds call it so, then ``url``. What is named like a field now and stays gets ``table_``
    before its name.
    """
    attributes: dict[str, str] = json.loads(text)
    address = ""
    for name in ("link", "url"):
        if not address and is_web_address(attributes.get(name, "")):
            address = attributes.pop(name)
    for name in ("url", "currency"):
        if name in attributes:
            free = f"table_{name}"
            while free in attributes:
                free = f"table_{free}"
            attributes[free] = attributes.pop(name)
    return address, attributes_json(attributes)


def _terms_of(text: str) -> str:
    """Attributes (JSON) -> a JSON list of their facets, each name, value and number."""
    made = [
        (name.replace("\0", ""), term_value(part))
        for name, value in json.loads(text).items()
        for part in value.split("|")
        if part
    ]
    return json.dumps([(name, value, term_number(value)) for name, value in made])


def _version(database: sqlite3.Connection, path: Path, newest: int, *, create: bool) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    application = int(database.execute("PRAGMA application_id").fetchone()[0])
    tables = int(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if not version and not application and not tables:
        if create:
            return 0
        raise StoreNotFoundError(
            f"The catalogue {path} is empty: its making was interrupted. Run: lapel add PICTURES --store {path.parent}"
        )
    if application != APPLICATION_ID:
        raise StoreDamagedError(
            f"{path} is an SQLite file of another program, not a Lapel catalogue. Choose another folder with --store."
        )
    if version > newest:
        raise StoreTooNewError(
            f"The catalogue {path} has version {version}; this Lapel reads up to version {newest}. "
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
