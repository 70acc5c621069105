//! For tests: a file system that is soon full.

use std::path::Path;
use std::process::Command;

/// A tmpfs of some MiB, mounted for as long as it lives.
pub(crate) struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    /// Mounts one; absent where that is not allowed, which it says aloud.
    pub(crate) fn mount(test: &str, mib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(directory.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        eprintln!("SKIPPED {test}: mounting a tmpfs is not allowed here");
        None
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}
