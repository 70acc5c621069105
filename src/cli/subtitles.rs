//! `headwater subtitles`: files of subtitles added to titles of a running server, and taken away.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::{Client, RequestBody, ServerArguments, block_on, json, no_body, read};
use super::remote::Title;
use super::{Exit, Outcome, Terminal};
use crate::title::{LanguageTag, TextKind, TitleId};

/// No server takes more.
const FILE_BYTES_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  headwater subtitles add 01hf7yat00abcdefghjkmnpqrs film.de.srt --lang de
  headwater subtitles remove 01hf7yat00abcdefghjkmnpqrs --lang de";
const ADD_EXAMPLES: &str = "\
Examples:
  headwater subtitles add 01hf7yat00abcdefghjkmnpqrs film.srt --lang pt-BR
  headwater subtitles add 01hf7yat00abcdefghjkmnpqrs film.vtt --lang en --kind captions --default";
const REMOVE_EXAMPLES: &str = "\
Examples:
  headwater subtitles remove 01hf7yat00abcdefghjkmnpqrs --lang en --kind captions";

/// Add subtitles to a title, or take them away
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a SubRip (.srt) or WebVTT (.vtt) file, in place of what there is in its language and kind
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        which: Which,
        /// The file, in UTF-8, UTF-16 or an old 8-bit encoding
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What a player's menu shows [default: the name of the language]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Show it when nobody chose
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Take away what there is in a language and kind
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The title
    #[arg(value_name = "ID")]
    id: TitleId,
    /// The language, as BCP 47 writes it: de, pt-BR, zh-Hant; und for none
    #[arg(long, value_name = "LANG", value_parser = LanguageTag::parse)]
    lang: LanguageTag,
    /// What the text is for: subtitles, captions or forced
    #[arg(long, value_name = "KIND", default_value = "subtitles")]
    kind: TextKind,
}

impl Which {
    fn path(&self) -> String {
        format!("/api/v1/titles/{}/subtitles/{}?kind={}", self.id, self.lang, self.kind.as_str())
    }
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> Outcome {
    match arguments.action {
        Action::Add { which, file, name, default, server } => {
            let client = server.client(terminal)?;
            let name = name.map(|name| format!("&name={}", utf8_percent_encode(&name, NON_ALPHANUMERIC))).unwrap_or_default();
            let path = format!("{}{name}{}", which.path(), if default { "&default=true" } else { "" });
            let body = Full::new(contents(&file)?).map_err(|never| match never {}).boxed_unsync();
            block_on(change(&client, terminal, Method::PUT, &path, body))
        }
        Action::Remove { which, server } => {
            let client = server.client(terminal)?;
            block_on(change(&client, terminal, Method::DELETE, &which.path(), no_body()))
        }
    }
}

async fn change(client: &Client, terminal: &mut Terminal<'_>, method: Method, path: &str, body: RequestBody) -> Outcome {
    let request = client.request(method, path).body(body).map_err(anyhow::Error::from)?;
    let answer = read(client.send(request).await?.into_body()).await?;
    let title: Title = json(&answer)?;
    if title.subtitles.is_empty() {
        terminal.print(format_args!("{} has no subtitles", title.id))?;
    }
    for line in title.subtitle_lines() {
        terminal.print(line)?;
    }
    Ok(Exit::Done)
}

fn contents(path: &Path) -> anyhow::Result<Bytes> {
    let mut contents = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents));
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    anyhow::ensure!(contents.len() as u64 <= FILE_BYTES_MAX, "{} is too large for a file of subtitles", path.display());
    Ok(contents.into())
}
