//! The layers a value can come from, and how each is taken apart into `section.key` and a raw value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Fault;

/// What every environment variable of ours begins with.
const PREFIX: &str = "HEADWATER_";
/// What the variables that only tests read begin with.
const TESTS_PREFIX: &str = "HEADWATER_TEST_";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The built-in `config/headwater.toml`.
    Default,
    /// The file given by `--config`.
    File(PathBuf),
    /// The environment variable of that name.
    Environment(String),
    /// The command-line flag of that name, dashes included.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Environment(name) => write!(out, "environment {name}"),
            Self::Flag(name) => write!(out, "flag {name}"),
        }
    }
}

/// The environment as the configuration sees it; a test hands in a map.
pub trait Environment {
    /// All variables, in any order.
    fn variables(&self) -> Vec<(OsString, OsString)>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}

/// A key that was set on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The key, such as `server.listen`.
    pub key: &'static str,
    /// The flag as it was typed, such as `--listen`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// A value before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// From a file, where it has a type.
    Typed(toml::Value),
    /// From the environment or the command line, where everything is text.
    Text(String),
}

/// Every value of every layer, under its key, the lowest layer first.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) values: BTreeMap<String, Vec<(Source, Raw)>>,
}

impl Layers {
    pub(super) fn add_text(&mut self, text: &str, source: &Source, faults: &mut Vec<Fault>) {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => return faults.push(Fault::new("", source.clone(), error.to_string().trim_end().to_owned())),
        };
        for (section, value) in table {
            let toml::Value::Table(keys) = value else {
                faults.push(Fault::new(&section, source.clone(), "expected a [section]; every key stands in one"));
                continue;
            };
            for (key, value) in keys {
                self.add(format!("{section}.{key}"), source.clone(), Raw::Typed(value));
            }
        }
    }

    pub(super) fn add_file(&mut self, path: &Path, faults: &mut Vec<Fault>) {
        let source = Source::File(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_text(&text, &source, faults),
            Err(error) => faults.push(Fault::new("", source, format!("cannot be read: {error}"))),
        }
    }

    pub(super) fn add_environment(&mut self, environment: &dyn Environment, faults: &mut Vec<Fault>) {
        let mut variables = environment.variables();
        variables.sort();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(PREFIX).filter(|_| !name.starts_with(TESTS_PREFIX)) else { continue };
            let source = Source::Environment(name.clone());
            let canonical = rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            let Some((section, key)) = rest.split_once("__").filter(|_| canonical) else {
                faults.push(Fault::new(&name, source, "no such key: expected HEADWATER_SECTION__KEY in capitals"));
                continue;
            };
            let key = format!("{section}.{key}").to_lowercase();
            match value.into_string() {
                Ok(value) => self.add(key, source, Raw::Text(value)),
                Err(_) => faults.push(Fault::new(&key, source, "the value is not UTF-8")),
            }
        }
    }

    pub(super) fn add_flags(&mut self, flags: &[Flag]) {
        for flag in flags {
            self.add(flag.key.to_owned(), Source::Flag(flag.name.to_owned()), Raw::Text(flag.value.clone()));
        }
    }

    fn add(&mut self, key: String, source: Source, raw: Raw) {
        self.values.entry(key).or_default().push((source, raw));
    }
}
