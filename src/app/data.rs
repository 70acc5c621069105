//! The data directory: who may use it, what lies where in it, and proving that it is sound.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::ingest::check::CheckOptions;
use crate::store::Store;

/// How often it is tried to lock a directory that another process is about to leave.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A data directory that this process alone uses.
pub struct DataDir {
    root: PathBuf,
    /// Held as long as the directory is in use; the kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Opens the directory, creating it when absent. Waits as long as `patience` for another process to leave it.
    pub async fn open(root: &Path, patience: Duration) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("cannot create the data directory {}", root.display()))?;
        let root = root.canonicalize()?;
        let lock = File::create(root.join("lock")).with_context(|| format!("cannot write in the data directory {}", root.display()))?;
        let deadline = Instant::now() + patience;
        let mut told = false;
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK || Instant::now() >= deadline {
                let fault = format!("the data directory {} is in use by another Headwater: stop that one first", root.display());
                return Err(anyhow::Error::from(error).context(fault));
            }
            if !told {
                tracing::info!(data = %root.display(), "another server has the data directory; waiting for it to leave");
                told = true;
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Ok(Self { root, _lock: lock })
    }

    /// The catalogue's database.
    pub async fn catalogue(&self) -> anyhow::Result<Catalogue> {
        Ok(Catalogue::open(&self.root.join("catalogue.db")).await?)
    }

    /// The object store.
    pub async fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.root.join("store")).await?)
    }

    /// Where uploads arrive.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Tells the outside which process serves on which addresses.
    pub fn announce(&self, running: &RunFile) -> anyhow::Result<()> {
        let (aside, path) = (self.root.join("run.json.new"), self.root.join("run.json"));
        std::fs::write(&aside, serde_json::to_vec(running)?)?;
        std::fs::rename(aside, path)?;
        Ok(())
    }

    /// Takes the announcement back, and leaves the directory to the next process. This one may go on reading what is there.
    pub fn leave(self) {
        if let Err(error) = std::fs::remove_file(self.root.join("run.json")) {
            tracing::warn!(%error, "run.json remains");
        }
    }
}

/// `run.json`: the running process and its bound addresses.
#[derive(Serialize)]
pub struct RunFile {
    /// Process number.
    pub pid: u32,
    /// Address of the public listener without TLS; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Address of the public listener with TLS; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Address of the admin listener.
    pub admin: String,
}

/// Proves the invariants of durable state, and lists what is broken, a sentence each. A server may be using the directory.
///
/// # Errors
/// When the directory is no data directory or cannot be read.
pub async fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let database = root.join("catalogue.db");
    anyhow::ensure!(database.is_file(), "{} is no data directory: it has no catalogue.db", root.display());
    let (catalogue, store) = (Catalogue::open(&database).await?, Store::open(&root.join("store")).await?);
    let mut broken = violations(&store, &catalogue).await?;
    if !broken.is_empty() {
        // What a running server was in the middle of is not broken; what is, still is when looked at again.
        let again = violations(&store, &catalogue).await?;
        broken.retain(|sentence| again.contains(sentence));
    }
    catalogue.close().await;
    Ok(broken)
}

async fn violations(store: &Store, catalogue: &Catalogue) -> anyhow::Result<Vec<String>> {
    let findings = crate::ingest::check::check(store, catalogue, CheckOptions { hash_sources: true }, &mut |_| {}).await?;
    let mut sentences: Vec<String> = findings.violations.iter().map(ToString::to_string).collect();
    if findings.unlisted > 0 {
        sentences.push(format!("and {} more", findings.unlisted));
    }
    Ok(sentences)
}
