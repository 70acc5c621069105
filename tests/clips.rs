//! Test clips: made by the system's `ffmpeg` out of its synthetic sources, kept for later runs by what made them; and the
//! real uploads that the environment may name.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

/// The clip that `ffmpeg` makes with `arguments` (without the output), in a file that ends with `.extension`.
pub fn clip(extension: &str, arguments: &[&str]) -> PathBuf {
    let name = name_of(arguments.join("\0"));
    let path = folder().join(format!("{name}.{extension}"));
    if !path.exists() {
        // Other tests, even in other processes, may make the same clip now; whole files only get the final name.
        let growing = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile_in(folder()).expect("a temporary file");
        let made = ffmpeg(arguments).arg("-y").arg(growing.path()).output().expect("ffmpeg");
        assert!(made.status.success(), "ffmpeg {arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
        growing.persist(&path).expect("kept");
    }
    path
}

/// A file of the given bytes.
pub fn file(extension: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(format!("{}.{extension}", name_of(bytes)));
    if !path.exists() {
        let mut growing = tempfile::NamedTempFile::new_in(folder()).expect("a temporary file");
        growing.write_all(bytes).expect("written");
        growing.persist(&path).expect("kept");
    }
    path
}

/// The folder of real uploads, if the environment names one.
pub fn uploads() -> Option<PathBuf> {
    let folder = std::env::var_os("HEADWATER_TEST_MEDIA").map(PathBuf::from);
    if folder.is_none() {
        // Past the test runner, which keeps to itself what passing tests print.
        let _ = writeln!(std::io::stderr(), "skipped: HEADWATER_TEST_MEDIA names no folder of uploads");
    }
    folder
}

/// `ffmpeg`, quiet but for errors.
pub fn ffmpeg(arguments: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-v", "error", "-bitexact"]).args(arguments).stdin(Stdio::null());
    command
}

/// Sound as PCM in a WAV file: `channels` interleaved in `samples`.
pub fn wav(rate: u32, channels: u16, samples: &[i16]) -> PathBuf {
    let data = samples.len() as u32 * 2;
    let mut bytes = Vec::with_capacity(44 + data as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * u32::from(channels) * 2).to_le_bytes());
    bytes.extend_from_slice(&(channels * 2).to_le_bytes());
    bytes.extend_from_slice(b"\x10\0data");
    bytes.extend_from_slice(&data.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file("wav", &bytes)
}

fn folder() -> &'static Path {
    let folder = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/clips"));
    fs::create_dir_all(folder).expect("a folder for clips");
    folder
}

fn name_of(what: impl AsRef<[u8]>) -> String {
    Sha256::digest(what.as_ref()).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
