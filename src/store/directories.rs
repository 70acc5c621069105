//! Directories that are on stable storage.
//!
//! A file is only as durable as the entries of all directories above it. Whoever creates a directory makes its entry
//! durable, but another task may find the directory in between and believe that it is. So each is made, or taken over
//! from an earlier process, under one lock and made durable before anyone uses it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Directories remembered as durable; beyond, all are forgotten and made sure of again.
const REMEMBERED_MAX: usize = 32_768;

/// The directories under a root, as far as this process has made sure of them.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    durable: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    /// The directories under `root`, which is created when absent.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = fs::canonicalize(root)?;
        if let Some(parent) = root.parent() {
            sync(parent)?;
        }
        Ok(Self { root, durable: Mutex::new(HashSet::new()) })
    }

    /// The root, absolute.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Creates the directory above `path` with all above it, durably. `path` lies under the root.
    pub(super) fn ensure_above(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        // No state but a set is under the lock, and a set that lost entries is merely slower.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= REMEMBERED_MAX {
            durable.clear();
        }
        ensure(directory, &self.root, &mut durable)
    }

    /// Removes a directory with everything in it, durably; absent is success.
    pub(super) fn remove(&self, directory: &Path) -> io::Result<()> {
        // Outside the lock: a long title takes seconds, and others go on putting.
        let removed = absent_is_success(fs::remove_dir_all(directory));
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| !known.starts_with(directory));
        removed?;
        // Also when it was absent: an earlier process may have been killed between removing and making it durable.
        absent_is_success(directory.parent().map_or(Ok(()), sync))
    }
}

/// Success also when there was nothing to do it to.
pub(super) fn absent_is_success(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn ensure(directory: &Path, root: &Path, durable: &mut HashSet<PathBuf>) -> io::Result<()> {
    if directory == root || durable.contains(directory) {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(root);
    ensure(parent, root, durable)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent)?;
    durable.insert(directory.to_owned());
    Ok(())
}

/// Makes the entries of a directory durable.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
