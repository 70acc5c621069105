//! What a start does before it serves: finishes what the last process could not. No step needs a person, and each may
//! itself be cut off and done again.

use std::collections::HashSet;

use super::{Error, Ingest};
use crate::schedule::clear_failed;
use crate::title::TitleState;

/// Titles looked at in one go.
const PAGE: u32 = 200;

impl Ingest {
    /// Removes what is garbage, takes up what is unfinished.
    ///
    /// # Errors
    /// When the catalogue or the store cannot be reached.
    pub async fn recover(&self) -> Result<(), Error> {
        for id in self.catalogue.garbage().await? {
            self.collect(id).await?;
        }
        for id in self.catalogue.unfinished().await? {
            let title = self.catalogue.title(id).await?;
            if title.state == TitleState::Receiving {
                // Nothing of it was acknowledged to its uploader.
                self.catalogue.mark_deleted(id, (self.clock)()).await?;
                self.collect(id).await?;
                continue;
            }
            self.store.sweep_partial(id).await?;
            self.scheduler.take_up(id).await?;
        }
        self.clear_failed_titles().await?;
        self.clear_loose_documents().await?;
        self.clear_strangers().await
    }

    /// A failure is recorded before its objects go, so some may be left.
    async fn clear_failed_titles(&self) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let page = self.catalogue.titles(PAGE, cursor, Some(TitleState::Failed)).await?;
            for title in page.titles {
                if let Some(problem) = title.problem {
                    clear_failed(&self.store, title.id, problem.code).await?;
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Documents that were on their way in or out when the last process ended.
    async fn clear_loose_documents(&self) -> Result<(), Error> {
        for (id, hash) in self.catalogue.loose_documents().await? {
            self.store.sweep_partial(id).await?;
            self.drop_document(id, hash).await?;
        }
        Ok(())
    }

    /// Objects of titles that the catalogue has never heard of were written for nothing.
    async fn clear_strangers(&self) -> Result<(), Error> {
        let known: HashSet<_> = self.catalogue.known_ids().await?.into_iter().collect();
        for id in self.store.titles().await?.ids {
            if !known.contains(&id) {
                tracing::warn!(title = %id, "removing objects of an unknown title");
                self.store.delete_title(id).await?;
            }
        }
        Ok(())
    }
}
