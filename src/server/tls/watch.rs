//! Notices that the files of certificates have changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CertificateFiles, Tls};

/// How often the files are looked at. No notification of the kernel sees every way in which files are put in place: renames
/// of a folder, symbolic links that are turned elsewhere, network file systems.
const INTERVAL: Duration = Duration::from_secs(2);

/// What tells one content of files from another without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

/// Device, inode, length, and the moment of the last change to content or permissions in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Stamps {
    pub(super) fn of(files: &[CertificateFiles]) -> Self {
        Self(files.iter().flat_map(|pair| [stamp(&pair.certificate), stamp(&pair.key)]).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

impl Tls {
    /// Takes certificates anew whenever their files have changed, until `stop`. Files that are wrong or do not belong together
    /// are told in the log, and what was there before stays.
    pub async fn watch(self, stop: CancellationToken) {
        let mut refused = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || tls.look(refused)).await;
            refused = looked.unwrap_or_default();
        }
    }

    /// Takes changed files; gives the stamps of those that were refused.
    pub(super) fn look(&self, refused: Option<Stamps>) -> Option<Stamps> {
        let current = self.current();
        let found = Stamps::of(&current.config.certificates);
        if found == current.stamps {
            return None;
        }
        if refused.as_ref() == Some(&found) {
            return refused;
        }
        match self.read(current.config) {
            Ok(read) => {
                self.take(read);
                tracing::info!("the certificates were renewed");
                None
            }
            Err(faults) => {
                tracing::warn!(%faults, "the certificates have changed and cannot be used; the former ones stay");
                Some(found)
            }
        }
    }
}
