//! Keeps delivery's view of the titles as the catalogue has it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::library::Shelf;
use crate::catalogue::{self, Catalogue, Change};
use crate::delivery::{Delivery, Purger};
use crate::title::TitleState;

/// Changes taken in one go.
const CHANGES_MAX: u32 = 500;

/// Brings the shelf up to `revision 0..now`, and then follows every change until `stop`.
pub struct Follower {
    catalogue: Catalogue,
    shelf: Arc<Shelf>,
    delivery: Delivery<Shelf>,
    purger: Purger,
    revision: i64,
}

impl Follower {
    /// A follower that has seen nothing yet.
    pub fn new(catalogue: Catalogue, shelf: Arc<Shelf>, delivery: Delivery<Shelf>) -> Self {
        Self { catalogue, shelf, delivery, purger: Purger::default(), revision: 0 }
    }

    /// From now on `purger` is told of changes: those up to here were told by an earlier process.
    pub fn telling(mut self, purger: Purger) -> Self {
        self.purger = purger;
        self
    }

    /// Takes in every change so far.
    ///
    /// # Errors
    /// When the catalogue cannot be read; what was taken in stays.
    pub async fn catch_up(&mut self) -> catalogue::Result<()> {
        loop {
            let changes = self.catalogue.changed_since(self.revision, CHANGES_MAX).await?;
            if changes.is_empty() {
                return Ok(());
            }
            for change in changes {
                self.revision = change.revision();
                match change {
                    Change::Title(title) => {
                        let standing = (title.state, title.generation);
                        let before = self.shelf.put(title.id, standing);
                        if before.is_some_and(|before| before != standing) {
                            self.delivery.invalidate(title.id);
                            if matches!(title.state, TitleState::Processing | TitleState::Ready) {
                                self.purger.changed(title.id);
                            }
                        }
                    }
                    Change::Deleted { id, .. } => {
                        self.shelf.remove(id);
                        self.delivery.forget(id);
                        self.purger.all(id);
                    }
                }
            }
        }
    }

    /// Follows until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut revisions = self.catalogue.watch();
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::error!(%error, "changes of titles cannot be read");
            }
            tokio::select! {
                changed = revisions.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}
