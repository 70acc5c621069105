//! What must be in the store because the catalogue says so: the source of a title, and every object that its rows name.

use super::violation::Part;
use crate::catalogue::{self, Catalogue, TitleRecord};
use crate::store::Key;
use crate::title::{ContentHash, TitleState};

/// Something that must be in the store.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) part: Part,
    pub(super) key: Key,
    pub(super) bytes: u64,
    pub(super) hash: ContentHash,
}

/// What a title's rows name.
///
/// # Errors
/// Those of reading the catalogue; not found when the title went away meanwhile.
pub(super) async fn expected(catalogue: &Catalogue, title: &TitleRecord) -> catalogue::Result<Vec<Expected>> {
    let id = title.id;
    let mut expected = Vec::new();
    if matches!(title.state, TitleState::Receiving | TitleState::Failed) {
        return Ok(expected);
    }
    if let Some(source) = title.source {
        expected.push(Expected { part: Part::Source, key: Key::Source(id), bytes: source.bytes, hash: source.sha256 });
    }
    if title.state == TitleState::Surveying {
        return Ok(expected);
    }
    let plan = match catalogue.plan(id, title.ledger).await {
        // Said already, as a contradiction.
        Err(catalogue::Error::NotFound(_)) => return Ok(expected),
        other => other?,
    };
    let object = |part, hash, bytes| Expected { part, key: Key::Object(id, hash), bytes, hash };
    expected.extend(plan.tracks.iter().map(|track| object(Part::Init(track.track), track.init_hash, track.init_bytes)));
    expected.extend(catalogue.documents(id).await?.into_iter().map(|(hash, bytes)| object(Part::Document(hash), hash, bytes)));
    let ledger = catalogue.ledger(id, title.ledger).await?.into_iter();
    expected.extend(ledger.map(|segment| object(Part::Segment(segment.track, segment.number), segment.hash, segment.bytes)));
    let stills = catalogue.stills(id, title.ledger).await?.into_iter();
    expected.extend(stills.map(|still| object(Part::Still(still.still), still.hash, still.bytes)));
    Ok(expected)
}
