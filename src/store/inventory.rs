//! What is in the store: by title, with what has no business there, and what a crash left half written.
//!
//! This reads the directories themselves, since an object store's own listing shows only what could be an object.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::key::TITLES;
use super::{Key, Result, Store, blocking};
use crate::title::TitleId;

/// The titles that have a directory in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Titles {
    /// The titles, oldest first. One whose objects were removed one by one may have none left.
    pub ids: Vec<TitleId>,
    /// What lies beside them and is no title, relative to the root.
    pub strangers: Vec<PathBuf>,
}

/// What a title has in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its objects with their lengths in bytes, in the order of keys.
    pub objects: Vec<(Key, u64)>,
    /// Temporary files, of puts under way or of an earlier process, relative to the root.
    pub partial: Vec<PathBuf>,
    /// Files that are neither, relative to the root.
    pub strangers: Vec<PathBuf>,
}

impl Store {
    /// The titles that have something in the store.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn titles(&self) -> Result<Titles> {
        let root = self.root().to_owned();
        blocking(move || {
            let mut titles = Titles::default();
            for entry in entries(&root.join(TITLES))? {
                let id = entry.file_name().to_str().and_then(|name| TitleId::parse(name).ok());
                match id.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                    Some(id) => titles.ids.push(id),
                    None => titles.strangers.push(Path::new(TITLES).join(entry.file_name())),
                }
            }
            titles.ids.sort_unstable();
            titles.strangers.sort_unstable();
            Ok(titles)
        })
        .await
    }

    /// Everything that a title has in the store; nothing when the store does not know it.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list(&self, id: TitleId) -> Result<Listing> {
        let (root, directory) = (self.root().to_owned(), self.directory_of(id));
        blocking(move || {
            let mut listing = Listing::default();
            walk(&directory, &mut |entry| {
                let path = entry.path();
                let relative = path.strip_prefix(&root).unwrap_or(&path);
                let is_file = entry.file_type()?.is_file();
                match Key::of_path(relative).filter(|_| is_file) {
                    Some(key) => match entry.metadata() {
                        Ok(metadata) => listing.objects.push((key, metadata.len())),
                        // Removed since the directory was read.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    },
                    None if is_partial(&entry.file_name()) => listing.partial.push(relative.to_owned()),
                    None => listing.strangers.push(relative.to_owned()),
                }
                Ok(())
            })?;
            listing.objects.sort_unstable();
            listing.partial.sort_unstable();
            listing.strangers.sort_unstable();
            Ok(listing)
        })
        .await
    }

    /// Removes the temporary files that an earlier process left for a title, and tells how many. Only for a title for
    /// which no put is under way. A title that is ready has none, so a start need only ask for those that are not.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn sweep_partial(&self, id: TitleId) -> Result<u64> {
        let directory = self.directory_of(id);
        blocking(move || {
            let mut removed = 0;
            walk(&directory, &mut |entry| {
                if is_partial(&entry.file_name()) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
                Ok(())
            })?;
            Ok(removed)
        })
        .await
    }
}

/// The file system store stages `name` as `name#1`, and `#` is in no name of ours.
fn is_partial(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.rsplit_once('#')).is_some_and(|(_, suffix)| suffix.parse::<u64>().is_ok())
}

/// Calls `visit` for everything below `directory` that is no directory; symbolic links are not followed.
fn walk(directory: &Path, visit: &mut dyn FnMut(&DirEntry) -> io::Result<()>) -> io::Result<()> {
    for entry in entries(directory)? {
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), visit)?;
        } else {
            visit(&entry)?;
        }
    }
    Ok(())
}

/// The entries of a directory; none when it is absent.
fn entries(directory: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
