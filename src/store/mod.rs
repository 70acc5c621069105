//! Objects on stable storage, under typed keys.
//!
//! What was put is whole and durable before the call returns: contents, name and every directory above it. An object is
//! never seen half written. Under the root: `titles/{id}/source` and `titles/{id}/objects/{2 digits}/{hash}`.

mod directories;
mod error;
mod inventory;
mod key;
#[cfg(test)]
mod suite;
#[cfg(test)]
pub(crate) mod tiny_disk;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

pub use error::{Error, Result};
pub use inventory::{Listing, Titles};
pub use key::Key;

use crate::title::TitleId;
use directories::Directories;

/// The store. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    directories: Arc<Directories>,
}

impl Store {
    /// Opens the store under `root`, which is created when absent.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn open(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        let directories = blocking(move || Directories::open(&root)).await?;
        let objects = LocalFileSystem::new_with_prefix(directories.root())?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects), directories: Arc::new(directories) })
    }

    /// Stores an object, in place of an earlier one of that key.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`]. An earlier object is then as it was, save that when making the new one
    /// durable failed at the very end either of the two may be there.
    pub async fn put(&self, key: Key, bytes: Bytes) -> Result<()> {
        let (directories, path) = (self.directories.clone(), self.path(key));
        blocking(move || directories.ensure_above(&path)).await?;
        self.objects.put(&object_path(key), bytes.into()).await?;
        Ok(())
    }

    /// Takes over a finished file as an object without copying it. `from` lies on the store's file system, and its
    /// contents are on stable storage already.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such file, [`Error::Unavailable`] also when it lies on another file system.
    pub async fn adopt(&self, from: &Path, key: Key) -> Result<()> {
        let (directories, from, path) = (self.directories.clone(), from.to_owned(), self.path(key));
        blocking(move || {
            directories.ensure_above(&path)?;
            fs::rename(&from, &path)?;
            for side in [&path, &from] {
                side.parent().map_or(Ok(()), directories::sync)?;
            }
            Ok(())
        })
        .await
    }

    /// Reads a whole object into memory. Sources may be larger than that: see [`Store::open_file`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, key: Key) -> Result<Bytes> {
        Ok(self.objects.get(&object_path(key)).await?.bytes().await?)
    }

    /// Reads parts of an object, one a range, in the order of the ranges.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`], also for a range that begins at the end of the object or beyond.
    pub async fn get_ranges(&self, key: Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        Ok(self.objects.get_ranges(&object_path(key), ranges).await?)
    }

    /// Length of an object in bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn size(&self, key: Key) -> Result<u64> {
        Ok(self.objects.head(&object_path(key)).await?.size)
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn exists(&self, key: Key) -> Result<bool> {
        match self.size(key).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens an object for reading; the descriptor stays good when the object is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn open_file(&self, key: Key) -> Result<File> {
        let path = self.path(key);
        blocking(move || File::open(path)).await
    }

    /// Removes an object, durably; absent is success.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete(&self, key: Key) -> Result<()> {
        let path = self.path(key);
        blocking(move || {
            directories::absent_is_success(fs::remove_file(&path))?;
            directories::absent_is_success(path.parent().map_or(Ok(()), directories::sync))
        })
        .await
    }

    /// Removes everything that a title has, durably; absent is success. Nothing may be put for the title meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`], after which some objects may be gone; it can be called again.
    pub async fn delete_title(&self, id: TitleId) -> Result<()> {
        let (directories, directory) = (self.directories.clone(), self.directory_of(id));
        blocking(move || directories.remove(&directory)).await
    }

    /// Bytes that can still be written to the store's file system.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn free_bytes(&self) -> Result<u64> {
        let root = self.root().to_owned();
        blocking(move || {
            let state = rustix::fs::statvfs(&root).map_err(io::Error::from)?;
            Ok(state.f_bavail.saturating_mul(state.f_frsize))
        })
        .await
    }

    fn root(&self) -> &Path {
        self.directories.root()
    }

    fn directory_of(&self, id: TitleId) -> PathBuf {
        self.root().join(key::TITLES).join(id.to_string())
    }

    fn path(&self, key: Key) -> PathBuf {
        self.root().join(key.to_string())
    }
}

fn object_path(key: Key) -> object_store::path::Path {
    object_store::path::Path::from(key.to_string())
}

/// Runs work that waits for the disk beside the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
