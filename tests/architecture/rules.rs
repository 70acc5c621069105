//! The rules: each takes a file and gives what is wrong with it. Below, each is shown to fail on a bad text.

use std::fmt;

use crate::architecture::source::{Name, Source};
use crate::architecture::table::Table;

/// No file is longer.
const LINES_MAX: usize = 600;
/// Names that say where something was put, not what it is.
const DRAWERS: [&str; 5] = ["utils", "util", "helpers", "common", "misc"];
/// What a pure module does not reach for, by the start of the path.
const IMPURE: [&[&str]; 6] = [&["tokio"], &["std", "fs"], &["std", "env"], &["std", "net"], &["std", "process"], &["std", "thread"]];
/// Marks of work left for later.
const PROMISES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Something against a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the repository.
    pub path: String,
    /// From one.
    pub line: usize,
    /// What was broken.
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

fn fault(source: &Source, line: usize, rule: impl Into<String>) -> Fault {
    Fault { path: source.path.clone(), line, rule: rule.into() }
}

/// Modules name only what the table lets them.
pub fn layers(source: &Source, table: &Table) -> Vec<Fault> {
    let Some(module) = source.module() else { return Vec::new() };
    if !table.has(module) {
        return vec![fault(source, 1, format!("{module} has no row in the table of layers"))];
    }
    let forbidden = source.mentions().into_iter().filter(|mention| !table.allows(module, &mention.module));
    forbidden.map(|mention| fault(source, mention.line, format!("{module} may not name {}", mention.module))).collect()
}

/// A file opens with what it is for.
pub fn purpose(source: &Source) -> Vec<Fault> {
    let opens = source.text.strip_prefix("//! ").is_some_and(|rest| rest.lines().next().is_some_and(|line| line.len() > 10));
    if opens { Vec::new() } else { vec![fault(source, 1, "a file opens with `//!` and what it is for")] }
}

/// Files and folders are named for the thing in them.
pub fn drawers(source: &Source) -> Vec<Fault> {
    let named = source.path.split('/').map(|part| part.trim_end_matches(".rs")).find(|part| DRAWERS.contains(part));
    named.map(|name| fault(source, 1, format!("{name} names the drawer, not the thing"))).into_iter().collect()
}

/// Pure modules take time, bytes and chance as arguments.
pub fn purity(source: &Source, pure: &[String]) -> Vec<Fault> {
    if !source.module().is_some_and(|module| pure.iter().any(|name| name == module)) {
        return Vec::new();
    }
    let impure = |name: &Name| {
        let starts =
            |start: &&[&str]| name.parts.len() >= start.len() && name.parts.iter().zip(start.iter()).all(|(part, word)| part == word);
        IMPURE.iter().any(starts) || (name.parts.len() > 1 && name.parts.last().is_some_and(|last| last == "now"))
    };
    let found = source.names().into_iter().filter(impure);
    found.map(|name| fault(source, name.line, format!("a pure module names {}", name.parts.join("::")))).collect()
}

/// FFmpeg is named only where it is linked.
pub fn ffmpeg(source: &Source) -> Vec<Fault> {
    if source.of_the_worker_binary() {
        return Vec::new();
    }
    let found = source.names().into_iter().filter(|name| name.parts.iter().any(|part| part == "ffmpeg_next" || part == "ffmpeg_sys_next"));
    found.map(|name| fault(source, name.line, "ffmpeg_next is named outside src/media and the worker's entry")).collect()
}

/// `unsafe` is needed only to speak with FFmpeg, for the worker's descriptors, for memory that the kernel sends from, and to ask the
/// kernel what of it is still to be sent.
pub fn unsafety(source: &Source) -> Vec<Fault> {
    if source.of_the_worker_binary() || ["src/arena.rs", "src/server/send_queue.rs"].contains(&source.path.as_str()) {
        return Vec::new();
    }
    let found = source.names().into_iter().filter(|name| name.parts == ["unsafe"]);
    found
        .map(|name| fault(source, name.line, "unsafe outside src/arena.rs, src/server/send_queue.rs, src/media and the worker's entry"))
        .collect()
}

/// A file holds one idea.
pub fn length(source: &Source) -> Vec<Fault> {
    let lines = source.text.lines().count();
    if lines <= LINES_MAX { Vec::new() } else { vec![fault(source, lines, format!("{lines} lines; {LINES_MAX} is the most"))] }
}

/// What is committed is finished.
pub fn promises(source: &Source) -> Vec<Fault> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if let Some(mark) = PROMISES.iter().find(|mark| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == **mark)) {
            found.push(fault(source, index + 1, format!("{mark} is not finished")));
        }
    }
    found
}

/// The libraries of FFmpeg among those that `ldd` printed.
pub fn ffmpeg_libraries(ldd: &str) -> Vec<&str> {
    let names = ldd.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| ["libav", "libsw", "libpostproc"].iter().any(|start| name.starts_with(start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path, text).expect("tokens")
    }

    /// The lines at which a rule finds something.
    fn lines(faults: Vec<Fault>) -> Vec<usize> {
        faults.into_iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn layers_can_fail() {
        let table = Table::parse("[pure]\ntitle\n[adapters]\nstore pure\ncache pure").expect("a table");
        let found = layers(&source("src/cache/mod.rs", "//! Cache.\nuse crate::title::Id;\nuse crate::store::Key;\n"), &table);
        let shown: Vec<String> = found.iter().map(Fault::to_string).collect();
        assert_eq!(shown, ["src/cache/mod.rs:3: cache may not name store"]);
        assert_eq!(lines(layers(&source("src/title/id.rs", "use crate::cache::X;"), &table)), [1]);
        assert_eq!(lines(layers(&source("src/drawer.rs", ""), &table)), [1]);
        assert_eq!(lines(layers(&source("src/lib.rs", "pub mod title;"), &table)), [0; 0]);
    }

    #[test]
    fn purpose_can_fail() {
        assert_eq!(lines(purpose(&source("src/a.rs", "use std::fmt;\n"))), [1]);
        assert_eq!(lines(purpose(&source("src/a.rs", "//! \nuse std::fmt;\n"))), [1]);
        assert_eq!(lines(purpose(&source("src/a.rs", "//! What is in here.\n"))), [0; 0]);
    }

    #[test]
    fn drawers_can_fail() {
        assert_eq!(lines(drawers(&source("src/cache/utils.rs", ""))), [1]);
        assert_eq!(lines(drawers(&source("tests/common/mod.rs", ""))), [1]);
        assert_eq!(lines(drawers(&source("src/cache/commonness.rs", ""))), [0; 0]);
    }

    #[test]
    fn purity_can_fail() {
        let pure = ["title".to_owned()];
        let bad =
            "//! X.\nuse std::{fmt, fs::File};\nuse tokio::time;\nfn f() { Instant::now(); jiff::Timestamp::now(); std::env::var(\"A\"); }";
        assert_eq!(lines(purity(&source("src/title/id.rs", bad), &pure)), [2, 3, 4, 4, 4]);
        assert_eq!(lines(purity(&source("src/cache/id.rs", bad), &pure)), [0; 0]);
        let good = "use std::time::SystemTime;\nfn f(now: SystemTime) { g(now, \"std::fs\") } // tokio::time";
        assert_eq!(lines(purity(&source("src/title/id.rs", good), &pure)), [0; 0]);
    }

    #[test]
    fn ffmpeg_can_fail() {
        let text = "//! X.\nuse ffmpeg_next::format;\nuse ffmpeg_next::{self as ff};\n";
        assert_eq!(lines(ffmpeg(&source("src/ingest/a.rs", text))), [2, 3]);
        assert_eq!(lines(ffmpeg(&source("tests/a.rs", text))), [2, 3]);
        assert_eq!(lines(ffmpeg(&source("src/media/a.rs", text))), [0; 0]);
    }

    #[test]
    fn unsafety_can_fail() {
        let text = "//! unsafe\nfn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(lines(unsafety(&source("src/worker/a.rs", text))), [3]);
        assert_eq!(lines(unsafety(&source("src/bin/headwater-worker.rs", text))), [0; 0]);
        assert_eq!(lines(unsafety(&source("src/arena.rs", text))), [0; 0]);
    }

    #[test]
    fn length_can_fail() {
        assert_eq!(lines(length(&source("src/a.rs", &"\n".repeat(601)))), [601]);
        assert_eq!(lines(length(&source("src/a.rs", &"\n".repeat(600)))), [0; 0]);
    }

    #[test]
    fn promises_can_fail() {
        let text = concat!("//! X.\n// TO", "DO: later\n// nothing\n// FIX", "ME\n");
        assert_eq!(lines(promises(&source("src/a.rs", text))), [2, 4]);
        assert_eq!(lines(promises(&source("src/a.rs", concat!("// METHO", "DO\n")))), [0; 0]);
    }

    #[test]
    fn linked_libraries_can_fail() {
        let ldd = "\tlinux-vdso.so.1 (0x0)\n\tlibavformat.so.59 => /lib/libavformat.so.59 (0x0)\n\tlibc.so.6 => /lib/libc.so.6\n\tlibswscale.so.6 => not found\n";
        assert_eq!(ffmpeg_libraries(ldd), ["libavformat.so.59", "libswscale.so.6"]);
        assert_eq!(ffmpeg_libraries("\tlibc.so.6 => /lib/libc.so.6\n"), Vec::<&str>::new());
    }
}
