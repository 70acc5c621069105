//! Between records and rows: the one place that knows how each value is written in the database.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Error, Result, SegmentRecord, SourceRecord, StillRecord, TitleRecord, TrackRates, TrackRecord};
use crate::playlist::Rates;
use crate::title::{ContentHash, Generation, KeyFrameSpan, SegmentNumber, Still, TitleId, TitleState, TrackId};

pub(super) fn title(row: &SqliteRow) -> Result<TitleRecord> {
    let bytes: Option<i64> = row.try_get("source_bytes")?;
    let sha256: Option<&str> = row.try_get("source_sha256")?;
    let source = match (bytes, sha256) {
        (Some(bytes), Some(sha256)) => Some(SourceRecord { bytes: unsigned(bytes)?, sha256: content_hash(sha256)? }),
        _ => None,
    };
    Ok(TitleRecord {
        id: title_id(row.try_get("id")?)?,
        name: row.try_get("name")?,
        state: TitleState::parse(row.try_get("state")?).map_err(|error| Error::corrupt("a title's state", error))?,
        generation: generation(row.try_get("generation")?)?,
        ledger: generation(row.try_get("ledger")?)?,
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        revision: row.try_get("revision")?,
        source,
        problem: row.try_get::<Option<&str>, _>("problem")?.map(|text| from_json("a problem", text)).transpose()?,
        remarks: from_json("remarks", row.try_get("remarks")?)?,
        segments_done: number(row, "segments_done")?,
        segments_total: number(row, "segments_total")?,
        has_loudness: row.try_get("has_loudness")?,
        has_poster: row.try_get("has_poster")?,
        has_storyboard: row.try_get("has_storyboard")?,
    })
}

pub(super) fn track(row: &SqliteRow) -> Result<TrackRecord> {
    let key_frames = pair(row, "key_frames_peak_bps", "key_frames_average_bps")?;
    let key_frames = key_frames.map(|(peak_bps, average_bps)| Rates { peak_bps, average_bps });
    let rates = pair(row, "peak_bps", "average_bps")?;
    let rates = rates.map(|(peak_bps, average_bps)| TrackRates { peak_bps, average_bps, key_frames });
    Ok(TrackRecord {
        track: track_id(row.try_get("track")?)?,
        header: from_json("a codec header", row.try_get("header")?)?,
        codec: row.try_get("codec")?,
        init_hash: content_hash(row.try_get("init_hash")?)?,
        init_bytes: number(row, "init_bytes")?,
        rates,
    })
}

pub(super) fn segment(row: &SqliteRow) -> Result<SegmentRecord> {
    let (track, number_) = segment_name(row)?;
    Ok(SegmentRecord {
        track,
        number: number_,
        hash: content_hash(row.try_get("hash")?)?,
        bytes: number(row, "bytes")?,
        decode_time_ticks: number(row, "decode_time_ticks")?,
        duration_ticks: number(row, "duration_ticks")?,
        starts_with_key_frame: row.try_get("starts_with_key_frame")?,
        concealed: number(row, "concealed")?,
        dropped: number(row, "dropped")?,
        key_frame: pair(row, "key_frame_offset", "key_frame_bytes")?
            .map(|(offset_bytes, length_bytes)| KeyFrameSpan { offset_bytes, length_bytes }),
    })
}

pub(super) fn still(row: &SqliteRow) -> Result<StillRecord> {
    let name: &str = row.try_get("still")?;
    Ok(StillRecord {
        still: Still::parse(name).ok_or_else(|| Error::corrupt("a still's name", name))?,
        hash: content_hash(row.try_get("hash")?)?,
        bytes: number(row, "bytes")?,
    })
}

pub(super) fn segment_name(row: &SqliteRow) -> Result<(TrackId, SegmentNumber)> {
    let number: i64 = row.try_get("number")?;
    let number = u32::try_from(number).map_err(|error| Error::corrupt("a segment's number", error))?;
    Ok((track_id(row.try_get("track")?)?, SegmentNumber(number)))
}

pub(super) fn title_id(text: &str) -> Result<TitleId> {
    TitleId::parse(text).map_err(|error| Error::corrupt("a title's identifier", error))
}

pub(super) fn generation(value: i64) -> Result<Generation> {
    u32::try_from(value).map(Generation).map_err(|error| Error::corrupt("a generation", error))
}

pub(super) fn number(row: &SqliteRow, column: &str) -> Result<u64> {
    unsigned(row.try_get(column)?)
}

/// Two numbers that are there together or not at all.
fn pair(row: &SqliteRow, first: &str, second: &str) -> Result<Option<(u64, u64)>> {
    let (first, second): (Option<i64>, Option<i64>) = (row.try_get(first)?, row.try_get(second)?);
    first.zip(second).map(|(first, second)| Ok((unsigned(first)?, unsigned(second)?))).transpose()
}

/// The database's integers are signed; nothing that is counted reaches their end.
pub(super) fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|error| Error::corrupt("a number to be recorded", error))
}

pub(super) fn to_json<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::corrupt(what, error))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::corrupt(what, error))
}

pub(super) fn track_id(text: &str) -> Result<TrackId> {
    TrackId::parse(text).map_err(|error| Error::corrupt("a track", error))
}

fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|error| Error::corrupt("a recorded number", error))
}

pub(super) fn content_hash(text: &str) -> Result<ContentHash> {
    ContentHash::parse(text).map_err(|error| Error::corrupt("a hash", error))
}
