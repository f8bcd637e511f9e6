-- A catalogue of version 6, as the code of that version wrote it: dumped by sqlite3.Connection.iterdump.
BEGIN TRANSACTION;
CREATE TABLE change (
        generation INTEGER NOT NULL,
        key INTEGER NOT NULL,
        PRIMARY KEY (generation, key)
    ) WITHOUT ROWID;
INSERT INTO "change" VALUES(1,1);
INSERT INTO "change" VALUES(1,2);
INSERT INTO "change" VALUES(1,3);
INSERT INTO "change" VALUES(1,4);
INSERT INTO "change" VALUES(1,5);
INSERT INTO "change" VALUES(2,5);
INSERT INTO "change" VALUES(3,3);
INSERT INTO "change" VALUES(4,4);
CREATE TABLE facet (
        product_row INTEGER NOT NULL REFERENCES product (row) ON DELETE CASCADE,
        term INTEGER NOT NULL REFERENCES term (id),
        PRIMARY KEY (product_row, term)
    ) WITHOUT ROWID;
INSERT INTO "facet" VALUES(1,1);
INSERT INTO "facet" VALUES(1,2);
INSERT INTO "facet" VALUES(1,3);
INSERT INTO "facet" VALUES(1,4);
INSERT INTO "facet" VALUES(1,5);
INSERT INTO "facet" VALUES(1,6);
INSERT INTO "facet" VALUES(1,7);
INSERT INTO "facet" VALUES(1,8);
INSERT INTO "facet" VALUES(1,9);
INSERT INTO "facet" VALUES(1,10);
INSERT INTO "facet" VALUES(1,11);
INSERT INTO "facet" VALUES(2,12);
INSERT INTO "facet" VALUES(2,13);
CREATE TABLE model (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '', encoder TEXT NOT NULL DEFAULT '', dim INTEGER NOT NULL DEFAULT 0);
INSERT INTO "model" VALUES(1,'model-of-then','then','colour:',8);
CREATE TABLE photo (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        product_row INTEGER NOT NULL REFERENCES product (row) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        uri TEXT NOT NULL,
        stamp TEXT NOT NULL,
        sha256 TEXT NOT NULL, full_link TEXT NOT NULL DEFAULT '', thumbnail_link TEXT NOT NULL DEFAULT '', lost TEXT NOT NULL DEFAULT '', mark TEXT NOT NULL DEFAULT '',
        UNIQUE (product_row, uri)
    );
INSERT INTO "photo" VALUES(1,1,0,'file:///pictures/shirt.jpg','stamp-1','sha-1','https://cdn.example/1.jpg','https://cdn.example/small/1.jpg','','etag-1');
INSERT INTO "photo" VALUES(2,1,1,'file:///pictures/back.jpg','stamp-2','sha-2','','','','');
INSERT INTO "photo" VALUES(3,2,0,'file:///pictures/sold.jpg','stamp-3','sha-3','','','','');
INSERT INTO "photo" VALUES(4,3,0,'file:///pictures/dark.jpg','stamp-4','sha-4','','','2026-11-02 00:00:00+00:00','');
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
    , feed TEXT NOT NULL DEFAULT '', gone TEXT NOT NULL DEFAULT '', url TEXT NOT NULL DEFAULT '');
INSERT INTO "product" VALUES(1,'shirt','Red shirt','["Apparel", "Shirts"]','Men','Acme','Red','Fall',4990,'EUR',49.9,1,'{"Größe":"38","size":"S|M"}','9e347356d425a6dda8f6e890f6a99bf8','','','https://shop.example/shirt');
INSERT INTO "product" VALUES(2,'sold','Grün dress','[]','','','','',1000,'JPY',1000.0,0,'{}','0583c7f5ca86f45e7b02b36cddc395ef','','2026-11-01 00:00:00+00:00','');
INSERT INTO "product" VALUES(3,'dark','Black bag','[]','','','','',NULL,'',NULL,NULL,'{}','64405172048c8559ef0cebb04ae6f4cb','','','');
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "setting" VALUES('changes_since','0');
INSERT INTO "setting" VALUES('dim','8');
INSERT INTO "setting" VALUES('encoder','colour:');
INSERT INTO "setting" VALUES('fingerprint','model-of-then');
INSERT INTO "setting" VALUES('generation','4');
INSERT INTO "setting" VALUES('identity','x');
INSERT INTO "setting" VALUES('model','then');
CREATE TABLE term (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        folded TEXT NOT NULL,        -- the value as filters compare it, without case
        number REAL,                 -- the value as ranges compare it, when it is a number
        UNIQUE (name, value)
    );
INSERT INTO "term" VALUES(1,'gender','Men','men',NULL);
INSERT INTO "term" VALUES(2,'brand','Acme','acme',NULL);
INSERT INTO "term" VALUES(3,'colour','Red','red',NULL);
INSERT INTO "term" VALUES(4,'season','Fall','fall',NULL);
INSERT INTO "term" VALUES(5,'currency','EUR','eur',NULL);
INSERT INTO "term" VALUES(6,'category','Apparel','apparel',NULL);
INSERT INTO "term" VALUES(7,'category','Apparel > Shirts','apparel > shirts',NULL);
INSERT INTO "term" VALUES(8,'in_stock','yes','yes',NULL);
INSERT INTO "term" VALUES(9,'size','S','s',NULL);
INSERT INTO "term" VALUES(10,'size','M','m',NULL);
INSERT INTO "term" VALUES(11,'Größe','38','38',38.0);
INSERT INTO "term" VALUES(12,'currency','JPY','jpy',NULL);
INSERT INTO "term" VALUES(13,'in_stock','no','no',NULL);
CREATE TABLE trouble (
        key INTEGER PRIMARY KEY REFERENCES photo (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,          -- dead, forbidden, unreachable, moved or changed
        reason TEXT NOT NULL,
        since TEXT NOT NULL,         -- when it was first found so
        seen TEXT NOT NULL           -- when it was last found so
    );
INSERT INTO "trouble" VALUES(4,'dead','404','2026-10-01 00:00:00+00:00','2026-10-01 00:00:00+00:00');
CREATE TABLE "vector" (
        key INTEGER NOT NULL REFERENCES photo (key) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES model (id),
        data BLOB NOT NULL,          -- dim little-endian float32
        PRIMARY KEY (key, model)
    );
INSERT INTO "vector" VALUES(1,1,X'000000000000803F000000000000000000000000000000000000000000000000');
INSERT INTO "vector" VALUES(2,1,X'00000000000000000000803F0000000000000000000000000000000000000000');
INSERT INTO "vector" VALUES(3,1,X'0000000000000000000000000000803F00000000000000000000000000000000');
INSERT INTO "vector" VALUES(4,1,X'000000000000000000000000000000000000803F000000000000000000000000');
CREATE INDEX product_title ON product (title);
CREATE INDEX term_folded ON term (name, folded);
CREATE INDEX facet_term ON facet (term, product_row);
CREATE INDEX vector_model ON vector (model, key);
CREATE INDEX product_gone ON product (gone) WHERE gone <> '';
CREATE INDEX photo_lost ON photo (lost) WHERE lost <> '';
CREATE VIEW hidden AS
        SELECT key FROM photo WHERE lost <> ''
        UNION SELECT key FROM product JOIN photo ON product_row = product.row WHERE gone <> '';
CREATE INDEX product_price ON product (currency, price);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('photo',5);
COMMIT;
