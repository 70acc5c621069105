-- Titles, their plans, the ledger of finished segments, and what is left to delete.
--
-- All times are Unix milliseconds. Identifiers and hashes are text in their written form, so that a person with a shell can read
-- them; plans, facts, remarks and problems are JSON.

-- Counts the changes of all titles together; every change of a title takes the next number in the same transaction.
CREATE TABLE counter (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO counter (only_row, revision) VALUES (1, 0);

CREATE TABLE titles (
    id             TEXT    NOT NULL PRIMARY KEY,
    name           TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('receiving', 'surveying', 'processing', 'ready', 'failed')),
    generation     INTEGER NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    updated_at_ms  INTEGER NOT NULL,
    revision       INTEGER NOT NULL UNIQUE,
    source_bytes   INTEGER,
    source_sha256  TEXT,
    problem        TEXT,
    remarks        TEXT    NOT NULL DEFAULT '[]',
    segments_done  INTEGER NOT NULL DEFAULT 0,
    segments_total INTEGER NOT NULL DEFAULT 0,
    CHECK ((source_bytes IS NULL) = (source_sha256 IS NULL)),
    CHECK ((problem IS NOT NULL) = (state = 'failed'))
) STRICT, WITHOUT ROWID;

CREATE INDEX titles_by_state ON titles (state, id);

CREATE TABLE plans (
    title              TEXT    NOT NULL REFERENCES titles (id) ON DELETE CASCADE,
    generation         INTEGER NOT NULL,
    planned_at_ms      INTEGER NOT NULL,
    finished_at_ms     INTEGER,
    segments_per_track INTEGER NOT NULL,
    facts              TEXT    NOT NULL,
    plan               TEXT    NOT NULL,
    PRIMARY KEY (title, generation)
) STRICT;

CREATE TABLE tracks (
    title       TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    track       TEXT    NOT NULL,
    codec       TEXT    NOT NULL,
    header      TEXT    NOT NULL,
    init_hash   TEXT    NOT NULL,
    init_bytes  INTEGER NOT NULL,
    peak_bps    INTEGER,
    average_bps INTEGER,
    PRIMARY KEY (title, generation, track),
    FOREIGN KEY (title, generation) REFERENCES plans (title, generation) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The ledger. A row is written after the object it names is durable in the store.
CREATE TABLE segments (
    title                 TEXT    NOT NULL,
    generation            INTEGER NOT NULL,
    track                 TEXT    NOT NULL,
    number                INTEGER NOT NULL,
    hash                  TEXT    NOT NULL,
    bytes                 INTEGER NOT NULL,
    decode_time_ticks     INTEGER NOT NULL,
    duration_ticks        INTEGER NOT NULL,
    starts_with_key_frame INTEGER NOT NULL,
    concealed             INTEGER NOT NULL,
    dropped               INTEGER NOT NULL,
    PRIMARY KEY (title, generation, track, number),
    FOREIGN KEY (title, generation, track) REFERENCES tracks (title, generation, track) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Titles that are gone for everyone but whose objects may still be in the store.
CREATE TABLE garbage (
    title         TEXT    NOT NULL PRIMARY KEY,
    deleted_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The latest deletions, for those who follow the changes; the oldest are forgotten.
CREATE TABLE deletions (
    revision INTEGER NOT NULL PRIMARY KEY,
    title    TEXT    NOT NULL
) STRICT;
