-- How loud each audio stream of a title's source is (JSON, by the stream's index), once it was measured; and whether it was, beside
-- the title, so that whoever remembers what a title shows knows when that changes.
ALTER TABLE plans ADD COLUMN loudness TEXT;
ALTER TABLE titles ADD COLUMN has_loudness INTEGER NOT NULL DEFAULT 0;
