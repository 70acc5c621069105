//! The architecture, held: which module may name which, and the house rules that a machine can check.
//!
//! The table below is the one that `src/lib.rs` shows in reading order. A new edge is a change to it, made in the same commit
//! and with a reason. A fault is shown as file, line and rule.

mod rules;
mod source;
mod table;

use std::path::Path;
use std::process::Command;

use rules::Fault;
use source::Source;
use table::Table;

/// Each module and what it may name, group by group from pure to effectful. A group's name stands for its modules; a row
/// names only what stands above it.
const TABLE: &str = "
[pure]
title
cmaf        title
playlist    title cmaf
text        title
semantics   title

[memory]
arena

[adapters]
store       pure
catalogue   pure
cache       pure arena
worker      pure

[worker-binary]
media             title cmaf text worker
headwater-worker  worker media

[flows]
schedule    pure adapters
ingest      pure adapters schedule
delivery    pure adapters schedule

[faces]
server      semantics arena
telemetry   pure adapters flows server
config      pure adapters flows server telemetry
api         pure adapters flows telemetry
cli         pure adapters flows telemetry config api

[root]
app         pure adapters flows faces
main        pure adapters flows faces app
";

/// The modules of the pure layer.
const PURE: &str = "pure";

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found: Vec<Source> = ["src", "tests", "benches"].iter().flat_map(|folder| source::read_all(root, folder)).collect();
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "the sources are read from {}", root.display());
    found
}

fn table() -> Table {
    Table::parse(TABLE).expect("the table of layers")
}

/// Applies a rule to every file and shows what it found.
fn check(rule: impl Fn(&Source) -> Vec<Fault>) {
    let faults: Vec<String> = sources().iter().flat_map(rule).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{} found:\n{}\n", faults.len(), faults.join("\n"));
}

#[test]
fn modules_name_only_layers_to_their_left() {
    let table = table();
    check(|source| rules::layers(source, &table));
}

#[test]
fn every_file_opens_with_its_purpose() {
    check(rules::purpose);
}

#[test]
fn no_module_is_a_drawer() {
    check(rules::drawers);
}

#[test]
fn pure_modules_are_pure() {
    let table = table();
    check(|source| rules::purity(source, &table.group(PURE)));
}

#[test]
fn ffmpeg_is_named_by_the_worker_alone() {
    check(rules::ffmpeg);
}

#[test]
fn unsafe_is_kept_to_the_arena_and_the_worker() {
    check(rules::unsafety);
}

#[test]
fn files_are_of_one_idea() {
    check(rules::length);
}

#[test]
fn nothing_is_left_to_do() {
    check(rules::promises);
}

/// Whoever looks for a file finds it on the map.
#[test]
fn the_map_names_every_module() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).expect("the map");
    let module = |source: Source| {
        let file = ["src/media/", "src/text/"].iter().find_map(|folder| source.path.strip_prefix(folder))?;
        let name = file.strip_suffix(".rs").filter(|name| !["mod", "testing"].contains(name))?;
        Some(name.to_owned())
    };
    let modules: Vec<String> = sources().into_iter().filter_map(module).collect();
    assert!(modules.len() > 40, "{modules:?}");
    let missing: Vec<&String> = modules.iter().filter(|name| !map.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
}

/// The fuzz targets compile these modules from where they stand, in a workspace that no other build sees.
#[test]
fn the_fuzz_workspace_has_what_its_modules_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dependencies = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).expect("a manifest");
        text.parse::<toml::Table>().expect("TOML")["dependencies"].as_table().expect("a table").clone()
    };
    let version = |value: &toml::Value| value.get("version").unwrap_or(value).clone();
    let (ours, fuzzed) = (dependencies("Cargo.toml"), dependencies("fuzz/Cargo.toml"));
    let mut named = 0;
    for source in ["src/semantics", "src/title"].iter().flat_map(|folder| source::read_all(root, folder)) {
        let text = std::fs::read_to_string(root.join(&source.path)).expect("a source");
        for (name, value) in &ours {
            if text.lines().any(|line| line.starts_with(&format!("use {}::", name.replace('-', "_")))) {
                assert_eq!(fuzzed.get(name).map(version), Some(version(value)), "{name} in fuzz/Cargo.toml, for {}", source.path);
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn the_server_links_no_ffmpeg() {
    let linked = linked_libraries(env!("CARGO_BIN_EXE_headwater"));
    assert_eq!(rules::ffmpeg_libraries(&linked), Vec::<&str>::new(), "in\n{linked}");
}

#[test]
fn the_worker_links_ffmpeg() {
    let linked = linked_libraries(env!("CARGO_BIN_EXE_headwater-worker"));
    assert!(rules::ffmpeg_libraries(&linked).len() >= 4, "in\n{linked}");
}

fn linked_libraries(program: &str) -> String {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    assert!(output.status.success(), "ldd {program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("ldd prints text")
}
