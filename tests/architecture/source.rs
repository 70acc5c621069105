//! A source file as tokens: comments and the insides of strings are out, lines are known.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file under `src`, `tests` or `benches`.
pub struct Source {
    /// Relative to the repository, such as `src/cache/mod.rs`.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    tokens: TokenStream,
}

/// A path of names, such as `std::fs::read`, and the line it starts at.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// Its parts.
    pub parts: Vec<String>,
    /// From one.
    pub line: usize,
    /// How many inline modules it stands in.
    inline: usize,
}

/// A top-level module of this crate that code names, and the line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mention {
    /// The module.
    pub module: String,
    /// From one.
    pub line: usize,
}

/// Reads all files below a folder of the repository; none when there is no such folder.
pub fn read_all(root: &Path, folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(root, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).expect("a readable source");
    let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
    Source::new(&path, &text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Source {
    /// Takes a text for a file at this path.
    pub fn new(path: &str, text: &str) -> Result<Self, String> {
        let tokens = TokenStream::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { path: path.to_owned(), text: text.to_owned(), tokens })
    }

    /// The top-level module it belongs to: the folder or file below `src`, or the name of a binary. None for `src/lib.rs`, which
    /// lists them, and for what is not below `src`.
    pub fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let below = below.strip_prefix("bin/").unwrap_or(below);
        let name = below.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (name != "lib").then_some(name)
    }

    /// Whether it belongs to what links FFmpeg.
    pub fn of_the_worker_binary(&self) -> bool {
        self.path.starts_with("src/media/") || self.path == "src/bin/headwater-worker.rs"
    }

    /// Top-level modules of this crate that it names: by `crate::`, `headwater::` or enough `super::`, braces included.
    pub fn mentions(&self) -> Vec<Mention> {
        let depth = self.depth();
        let mention = |Name { parts, line, inline }: Name| {
            let up = parts.iter().take_while(|part| *part == "super" || *part == "self").filter(|part| *part == "super").count();
            let module = match parts.first().map(String::as_str) {
                Some("crate" | "headwater") => parts.get(1).filter(|part| *part != "self"),
                Some("super" | "self") if up > 0 && up >= depth + inline => parts.iter().find(|part| *part != "super" && *part != "self"),
                _ => None,
            };
            Some(Mention { module: module?.clone(), line })
        };
        let mut found: Vec<Mention> = self.names().into_iter().filter_map(mention).collect();
        found.dedup();
        found
    }

    /// All paths of names, braces followed: `std::{fs, env::var}` gives `std::fs` and `std::env::var`.
    pub fn names(&self) -> Vec<Name> {
        let mut found = Vec::new();
        names(&self.tokens, &[], 0, &mut found);
        found
    }

    /// How many `super::` lead from the top of the file to the root of its crate.
    fn depth(&self) -> usize {
        let is_root = matches!(self.path.as_str(), "src/lib.rs" | "src/main.rs" | "src/bin/headwater-worker.rs");
        let parts = self.path.split('/').count() - 1;
        if is_root { 0 } else { parts - usize::from(self.path.ends_with("/mod.rs")) }
    }
}

fn names(tokens: &TokenStream, before: &[String], inline: usize, found: &mut Vec<Name>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            // What follows is a new name, not one that is reached.
            TokenTree::Ident(word) if *word == "as" => at += 2,
            TokenTree::Ident(word) if *word == "mod" => {
                at += 2;
                if let Some(TokenTree::Group(body)) = tokens.get(at) {
                    names(&body.stream(), &[], inline + 1, found);
                    at += 1;
                }
            }
            TokenTree::Ident(first) => {
                let line = first.span().start().line;
                let mut parts = before.to_vec();
                parts.push(first.to_string());
                at += 1;
                let mut followed = false;
                while is_path_separator(&tokens, at) {
                    at += 2;
                    match tokens.get(at) {
                        Some(TokenTree::Ident(next)) => parts.push(next.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            names(&group.stream(), &parts, inline, found);
                            followed = true;
                        }
                        _ => break,
                    }
                    at += 1;
                }
                if !followed {
                    found.push(Name { parts, line, inline });
                }
            }
            TokenTree::Group(group) => {
                names(&group.stream(), &[], inline, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentioned(path: &str, text: &str) -> Vec<(String, usize)> {
        let source = Source::new(path, text).expect("tokens");
        source.mentions().into_iter().map(|mention| (mention.module, mention.line)).collect()
    }

    #[test]
    fn mentions_are_found_however_they_are_written() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("src/a/b.rs", "use crate::title::Plan;", &["title"]),
            ("src/a/b.rs", "use crate::{cache, store::{Key, Store as S}};", &["cache", "store"]),
            ("src/a/b.rs", "fn f() { headwater::cmaf::verify() }", &["cmaf"]),
            ("src/a/b.rs", "fn f() { println!(\"{}\", crate::cache::SIZE) }", &["cache"]),
            ("src/a/b.rs", "use super::super::ingest;", &["ingest"]),
            ("src/a/b.rs", "use super::c::D;", &[]),
            ("src/a/mod.rs", "use super::ingest::X;", &["ingest"]),
            ("src/a/mod.rs", "mod tests { use super::c::X; use super::super::ingest; }", &["ingest"]),
            ("src/a/mod.rs", "use self::super::ingest;", &["ingest"]),
            ("src/a.rs", "use super::ingest;", &["ingest"]),
            ("src/bin/headwater-worker.rs", "use headwater::worker::sandbox;", &["worker"]),
            ("src/a/b.rs", "// crate::cache\n/// crate::cache\nconst A: &str = \"crate::cache\";", &[]),
            ("src/a/b.rs", "pub(crate) fn headwater(headwater: u8) {}", &[]),
        ];
        for (path, text, expect) in cases {
            let found: Vec<String> = mentioned(path, text).into_iter().map(|(module, _)| module).collect();
            assert_eq!(found, *expect, "{path}: {text}");
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        assert_eq!(
            mentioned("src/a/b.rs", "//! Purpose.\n\nuse crate::{\n    cache,\n    store,\n};"),
            [("cache".into(), 4), ("store".into(), 5)]
        );
    }
}
