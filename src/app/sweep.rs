//! Ends what was replaced: subtitles whose grace is over are neither answered nor kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::library::Shelf;
use crate::delivery::Delivery;
use crate::ingest::Ingest;
use crate::title::{Generation, TitleId, TrackId};

/// How late what is over may go.
const LATENESS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Looks for what is over until `stop`.
pub async fn sweep(shelf: Arc<Shelf>, delivery: Delivery<Shelf>, ingest: Ingest, grace: Duration, stop: CancellationToken) {
    let mut turns = tokio::time::interval((grace / 8).clamp(*LATENESS.start(), *LATENESS.end()));
    // Those of the last turn: nobody can have fetched them since.
    let mut dropped = HashSet::new();
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = stop.cancelled() => return,
        }
        let over_before_ms = shelf.over_before_ms();
        let mut over: HashSet<(TitleId, Generation, TrackId)> = HashSet::new();
        for id in shelf.changed() {
            if stop.is_cancelled() {
                return;
            }
            // What cannot be read now can be in the next turn; it was logged.
            over.extend(shelf.ended(id).await.unwrap_or_default().into_iter().map(|(since, track)| (id, since, track)));
            if let Err(error) = ingest.forget_ended(id, over_before_ms).await {
                tracing::warn!(title = %id, %error, "subtitles that are over remain for now");
            }
        }
        let doomed: HashSet<_> = over.difference(&dropped).copied().collect();
        if !doomed.is_empty() {
            delivery.forget_tracks(doomed);
        }
        dropped = over;
    }
}
