-- Where the key frame of each segment of pictures lies, the rates of the key frames alone, and the stills of a title.

-- Bytes from the segment's first one, and length; absent for sound, and in rows of before.
ALTER TABLE segments ADD COLUMN key_frame_offset INTEGER;
ALTER TABLE segments ADD COLUMN key_frame_bytes  INTEGER;

-- Rates of a track's I-frame playlist; absent for sound, and where a segment's key frame is not known.
ALTER TABLE tracks ADD COLUMN key_frames_peak_bps    INTEGER;
ALTER TABLE tracks ADD COLUMN key_frames_average_bps INTEGER;

-- Whether the title has them, so that whoever lists titles need not look further.
ALTER TABLE titles ADD COLUMN has_poster     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE titles ADD COLUMN has_storyboard INTEGER NOT NULL DEFAULT 0;

-- Poster and storyboard. A row is written after the object it names is durable in the store.
CREATE TABLE stills (
    title      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    still      TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    PRIMARY KEY (title, generation, still),
    FOREIGN KEY (title, generation) REFERENCES plans (title, generation) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
