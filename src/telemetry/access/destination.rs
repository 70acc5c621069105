//! Where lines go: standard output, a file that may be renamed under us, or whatever else has a path, such as a pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An open place for lines. Writes go to the end and are not kept back.
pub(super) struct Destination {
    /// Absent for standard output.
    path: Option<PathBuf>,
    /// Absent while there is none: a pipe is opened when there is something to write, for that waits for its reader.
    file: Option<File>,
    /// Whether it could not be opened anew the last time, which is told once.
    is_missing: bool,
}

impl Destination {
    /// Standard output.
    ///
    /// # Errors
    /// When it is closed.
    pub(super) fn standard_output() -> io::Result<Self> {
        // A descriptor of its own, without the buffer that Rust puts before it.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { path: None, file: Some(file), is_missing: false })
    }

    /// A path; a file is made where there is none. A pipe is not opened yet.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub(super) fn path(path: &Path) -> io::Result<Self> {
        let is_pipe = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        let file = if is_pipe { None } else { Some(open(path)?) };
        Ok(Self { path: Some(path.to_owned()), file, is_missing: false })
    }

    /// Whether the path no longer names the open file.
    pub(super) fn was_renamed(&self) -> bool {
        let (Some(path), Some(file)) = (&self.path, &self.file) else { return false };
        let Ok(ours) = file.metadata() else { return false };
        ours.is_file() && fs::metadata(path).map_or(true, |there| (there.dev(), there.ino()) != (ours.dev(), ours.ino()))
    }

    /// Opens the path anew. The former file stays where that fails.
    pub(super) fn reopen(&mut self) {
        let (Some(path), Some(file)) = (&self.path, &self.file) else { return };
        if file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            self.file = None;
            return;
        }
        match open(path) {
            Ok(file) => (self.file, self.is_missing) = (Some(file), false),
            Err(error) => {
                if !self.is_missing {
                    tracing::error!(path = %path.display(), %error, "the access log cannot be opened anew; the former file is written on");
                }
                self.is_missing = true;
            }
        }
    }

    /// Writes some of the bytes; gives how many. It may wait for as long as the disk or a reader does.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let (None, Some(path)) = (&self.file, &self.path) {
            self.file = Some(open(path)?);
        }
        let Some(file) = &mut self.file else { return Err(ErrorKind::NotFound.into()) };
        loop {
            match file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe && self.path.is_some() => {
                    self.file = None;
                    return Err(error);
                }
                result => return result,
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
