//! `headwater titles`: the catalogue of a running server.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ServerArguments, block_on};
use super::remote::Title;
use super::{Exit, Outcome, Terminal, figures};
use crate::title::{TitleId, TitleState};

const EXAMPLES: &str = "\
Examples:
  headwater titles list
  headwater titles show 01hf7yat00abcdefghjkmnpqrs
  headwater titles delete 01hf7yat00abcdefghjkmnpqrs";
const LIST_EXAMPLES: &str = "\
Examples:
  headwater titles list
  headwater titles list --state failed
  headwater titles list --json | jq -r '.[].playback.hls'";
const SHOW_EXAMPLES: &str = "\
Examples:
  headwater titles show 01hf7yat00abcdefghjkmnpqrs
  headwater titles show 01hf7yat00abcdefghjkmnpqrs --json";
const DELETE_EXAMPLES: &str = "\
Examples:
  headwater titles delete 01hf7yat00abcdefghjkmnpqrs";

/// List, show and delete titles
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List all titles, newest first
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Only titles in this state: receiving, surveying, processing, ready or failed
        #[arg(long, value_name = "STATE", value_parser = TitleState::parse)]
        state: Option<TitleState>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a title
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The title
        #[arg(value_name = "ID")]
        id: TitleId,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a title and all that is stored of it
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// The title
        #[arg(value_name = "ID")]
        id: TitleId,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct Page {
    titles: Vec<Value>,
    next: Option<String>,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> Outcome {
    match arguments.action {
        Action::List { state, common } => {
            let client = common.server.client(terminal)?;
            block_on(list(&client, terminal, state, common.json))
        }
        Action::Show { id, common } => {
            let client = common.server.client(terminal)?;
            block_on(show(&client, terminal, id, common.json))
        }
        Action::Delete { id, common } => {
            let client = common.server.client(terminal)?;
            block_on(delete(&client, terminal, id, common.json))
        }
    }
}

/// Prints page after page, so that a long list is not gathered first.
async fn list(client: &Client, terminal: &mut Terminal<'_>, state: Option<TitleState>, json: bool) -> Outcome {
    let filter = state.map(|state| format!("&state={}", state.as_str())).unwrap_or_default();
    let mut cursor = None;
    let mut first = true;
    loop {
        let from = cursor.map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
        let page: Page = client.get(&format!("/api/v1/titles?limit=200{filter}{from}")).await?;
        for value in page.titles {
            if json {
                let comma = if first { "[" } else { "," };
                terminal.print(format_args!("{comma}{value}"))?;
            } else {
                if first {
                    terminal.print(row(["ID", "STATE", "DONE", "LENGTH", "SIZE", "CREATED", "NAME"]))?;
                }
                terminal.print(line(&parse(value)?))?;
            }
            first = false;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    match (json, first) {
        (true, true) => terminal.print("[]")?,
        (true, false) => terminal.print("]")?,
        (false, true) => terminal.print("There are no titles.")?,
        (false, false) => {}
    }
    Ok(Exit::Done)
}

async fn show(client: &Client, terminal: &mut Terminal<'_>, id: TitleId, json: bool) -> Outcome {
    let value: Value = client.get(&format!("/api/v1/titles/{id}")).await?;
    if json {
        terminal.print(format_args!("{value:#}"))?;
    } else {
        terminal.print(sheet(&parse(value)?))?;
    }
    Ok(Exit::Done)
}

async fn delete(client: &Client, terminal: &mut Terminal<'_>, id: TitleId, json: bool) -> Outcome {
    client.ask(Method::DELETE, &format!("/api/v1/titles/{id}")).await?;
    if json {
        terminal.print(serde_json::json!({ "deleted": id }))?;
    } else {
        terminal.print(format_args!("{id} is deleted"))?;
    }
    Ok(Exit::Done)
}

fn parse(value: Value) -> anyhow::Result<Title> {
    serde_json::from_value(value).map_err(|error| anyhow::Error::new(error).context("the server's title is not understood"))
}

/// A row of the table. The name is last: nothing has to be aligned behind its letters, however wide.
fn row(cells: [&str; 7]) -> String {
    let [id, state, done, length, size, created, name] = cells;
    format!("{id:<26}  {state:<10}  {done:>4}  {length:>8}  {size:>9}  {created:<16}  {name}")
}

fn line(title: &Title) -> String {
    row([
        &title.id,
        &title.state,
        &format!("{}%", figures::percent(title.progress.fraction)),
        &title.duration_ms.map_or_else(|| "-".into(), figures::clock),
        &title.source.as_ref().map_or_else(|| "-".into(), |source| figures::bytes(source.bytes)),
        &minute(&title.created_at),
        &title.name,
    ])
}

/// Everything of one title.
fn sheet(title: &Title) -> String {
    let mut lines = vec![
        format!("name        {}", title.name),
        format!("id          {}", title.id),
        format!("state       {}{}", title.state, if title.playable { ", playable" } else { "" }),
        format!("created     {}", title.created_at),
    ];
    if let Some(problem) = &title.problem {
        lines.push(format!("problem     {}", problem.sentence()));
    }
    if let Some(duration_ms) = title.duration_ms {
        lines.push(format!("length      {}", figures::clock(duration_ms)));
    }
    if title.progress.segments_total > 0 {
        let (done, total) = (title.progress.segments_done, title.progress.segments_total);
        let left = title.progress.eta_ms.filter(|_| !title.is_final()).map(|eta_ms| format!(", {} left", figures::clock(eta_ms)));
        let percent = figures::percent(title.progress.fraction);
        lines.push(format!("progress    {percent}%, {done} of {total} segments{}", left.unwrap_or_default()));
    }
    if let Some(source) = &title.source {
        let container = source.container.as_deref().map(|container| format!(", {container}")).unwrap_or_default();
        lines.push(format!("source      {}{container}", figures::bytes(source.bytes)));
    }
    lines.extend(title.playback_lines());
    lines.extend(title.rendition_lines());
    lines.extend(title.audio_lines());
    lines.extend(title.loudness_lines());
    lines.extend(title.subtitle_lines());
    lines.extend(title.report.iter().map(|remark| format!("{:<10}  {}", remark.severity, remark.message)));
    lines.join("\n")
}

/// A time of RFC 3339 to the minute.
fn minute(created_at: &str) -> String {
    created_at.get(..16).unwrap_or(created_at).replace('T', " ")
}
