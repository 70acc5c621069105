//! Follows a title's events until it is ready or has failed, over lost connections and restarts of the server.

use std::time::Duration;

use anyhow::{Context, bail};
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::client::{Client, Refusal, json, no_body};
use super::remote::Title;

/// How often in a row a lost connection is made anew.
const ATTEMPTS_MAX: u32 = 60;
/// Pause before it is.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest silence on a connection; the server says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Longest event in bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// Waits for the end of a title's way, telling each step of it.
///
/// # Errors
/// When it is deleted meanwhile, the server refuses, or is gone for too long.
pub(super) async fn until_final(client: &Client, id: &str, mut step: impl FnMut(&Title)) -> anyhow::Result<Title> {
    let mut last_event_id = None;
    let mut attempts = 0;
    loop {
        let lost = match connection(client, id, &mut last_event_id, &mut attempts, &mut step).await {
            Ok(Some(title)) => return Ok(title),
            Ok(None) => None,
            Err(error) => match error.downcast_ref::<Refusal>() {
                Some(refusal) if refusal.status == StatusCode::NOT_FOUND => bail!("the title was deleted"),
                Some(refusal) if refusal.status.is_client_error() => return Err(error),
                _ => Some(error),
            },
        };
        attempts += 1;
        if attempts > ATTEMPTS_MAX {
            let lost = lost.unwrap_or_else(|| anyhow::anyhow!("the server ends every connection"));
            return Err(lost.context("the title cannot be followed any more"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection: the final title, or nothing when the server ends it before.
async fn connection(
    client: &Client,
    id: &str,
    last_event_id: &mut Option<String>,
    attempts: &mut u32,
    step: &mut impl FnMut(&Title),
) -> anyhow::Result<Option<Title>> {
    let mut request = client.request(Method::GET, &format!("/api/v1/titles/{id}/events"));
    if let Some(id) = last_event_id.as_deref() {
        request = request.header("last-event-id", id);
    }
    let mut body = client.send(request.body(no_body())?).await?.into_body();
    let mut events = Events::default();
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.context("the server fell silent")?;
        let Some(frame) = frame else { return Ok(None) };
        let Ok(data) = frame.context("the connection broke off")?.into_data() else { continue };
        for event in events.push(&data)? {
            if event.id.is_some() {
                *last_event_id = event.id;
            }
            match event.name.as_str() {
                "title" => {
                    let title: Title = json(event.data.as_bytes())?;
                    *attempts = 0;
                    step(&title);
                    if title.is_final() {
                        return Ok(Some(title));
                    }
                }
                "deleted" => {
                    let detail = "The title was deleted.".into();
                    return Err(Refusal { status: StatusCode::NOT_FOUND, code: "title-not-found".into(), detail }.into());
                }
                _ => {}
            }
        }
    }
}

/// An event as it is dispatched (WHATWG HTML, 9.2.6).
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

/// Takes a stream of events apart, wherever it was cut on the way.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    next: Event,
}

impl Events {
    /// The events that end in these bytes.
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.next);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.next.name = value.to_owned(),
                "id" => self.next.id = Some(value.to_owned()),
                "data" => {
                    if !self.next.data.is_empty() {
                        self.next.data.push('\n');
                    }
                    self.next.data.push_str(value);
                }
                _ => {}
            }
        }
        if self.rest.len() + self.next.data.len() > EVENT_BYTES_MAX {
            bail!("the server sends an event that does not end");
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": connected\nretry: 2000\n\nevent: title\nid: 7\ndata: {\"ü\": 1}\n\n: alive\n\nid: 8\n\nevent:deleted\r\ndata: a\r\ndata: b\r\n\r\n";

    #[test]
    fn a_stream_is_read_alike_wherever_it_is_cut() {
        let expect = [
            Event { name: "title".into(), id: Some("7".into()), data: "{\"ü\": 1}".into() },
            Event { name: "deleted".into(), id: None, data: "a\nb".into() },
        ];
        for size in [1, 2, 3, 7, 1000] {
            let mut events = Events::default();
            let read: Vec<Event> = STREAM.as_bytes().chunks(size).flat_map(|chunk| events.push(chunk).expect("events")).collect();
            assert_eq!(read, expect, "cut every {size} bytes");
        }
    }

    #[test]
    fn an_event_without_end_is_not_gathered_for_ever() {
        let mut events = Events::default();
        let chunk = vec![b'x'; 1 << 20];
        assert!((0..6).map(|_| events.push(&chunk)).any(|pushed| pushed.is_err()));
    }
}
