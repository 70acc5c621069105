-- Generations that change nothing but text: they keep the segments of an earlier one.

-- The generation whose plan, tracks and segments the title's newest generation uses.
ALTER TABLE titles ADD COLUMN ledger INTEGER NOT NULL DEFAULT 1;

-- One row for every such generation that is still answered. The newest is that of its title.
CREATE TABLE texts (
    title      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    -- Where its plan, tracks and segments are.
    ledger     INTEGER NOT NULL,
    made_at_ms INTEGER NOT NULL,
    -- Its text tracks (JSON); they stand in for those of the plan.
    text       TEXT    NOT NULL,
    PRIMARY KEY (title, generation),
    FOREIGN KEY (title, ledger) REFERENCES plans (title, generation) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Documents that may be in the store though no generation names them: on their way in, or on their way out.
CREATE TABLE loose_documents (
    title TEXT NOT NULL REFERENCES titles (id) ON DELETE CASCADE,
    hash  TEXT NOT NULL,
    PRIMARY KEY (title, hash)
) STRICT, WITHOUT ROWID;
