//! One record, one line: as JSON, or in the Combined Log Format, which is the Common one with referer and user agent.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::Version;
use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::AccessFormat;
use super::record::{Facts, Record, Text};
use crate::semantics::{Cmcd, CmcdValue, Route};
use crate::title::{Generation, TitleId, TrackId};

/// What a client that closed the connection before its answer gets in the Combined Log Format, which needs a status; nginx's.
const CLIENT_CLOSED: u16 = 499;

/// Appends the line of a record, its end included.
pub(super) fn write(format: AccessFormat, record: &Record, facts: &Facts, cmcd: &Cmcd, out: &mut Vec<u8>) {
    match format {
        AccessFormat::Json => json(&Line::of(record, facts, cmcd), out),
        AccessFormat::Clf => clf(record, facts, out),
    }
}

/// Appends the line that tells of lost ones.
pub(super) fn write_lost(format: AccessFormat, at_ms: i64, lost: u64, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Lost {
        time: String,
        lost: u64,
    }
    match format {
        AccessFormat::Json => json(&Lost { time: time(at_ms), lost }, out),
        AccessFormat::Clf => out.extend(format!("- - - [{}] \"lost {lost}\" - -\n", clf_time(at_ms)).bytes()),
    }
}

/// What the client tells of its playback: the query's data, then the fields'.
pub(super) fn cmcd(record: &Record) -> Cmcd {
    let mut cmcd = Cmcd::default();
    if let Some(value) = record.texts.get(Text::CmcdQuery) {
        cmcd.read_query_value(value, !record.texts.is_cut(Text::CmcdQuery));
    }
    if let Some(value) = record.texts.get(Text::CmcdFields) {
        cmcd.read_field(value, !record.texts.is_cut(Text::CmcdFields));
    }
    cmcd
}

fn json(line: &impl Serialize, out: &mut Vec<u8>) {
    let before = out.len();
    // Writing to memory cannot fail, and no line of ours refuses to be written.
    if serde_json::to_writer(&mut *out, line).is_err() {
        out.truncate(before);
        return;
    }
    out.push(b'\n');
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The proxy that asked for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<IpAddr>,
    method: Cow<'a, str>,
    path: Cow<'a, str>,
    protocol: &'static str,
    tls: bool,
    status: Option<u16>,
    bytes: u64,
    bytes_expected: Option<u64>,
    ttfb_ms: Option<f64>,
    duration_ms: f64,
    ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<TitleId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(serialize_with = "client_data", skip_serializing_if = "Cmcd::is_empty")]
    cmcd: &'a Cmcd,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record, facts: &Facts, cmcd: &'a Cmcd) -> Self {
        let text = |text| record.texts.get(text).map(String::from_utf8_lossy);
        let answered = facts.answered.as_ref();
        let (title, generation, track, segment) = answered.and_then(|answered| answered.told.route).map(named).unwrap_or_default();
        let peer = facts.peer.map(|peer| peer.address.ip().to_canonical());
        let client = facts.client.map(|client| client.address);
        Self {
            time: time(facts.at_ms),
            client,
            port: facts.client.and_then(|client| client.port),
            proxy: peer.filter(|_| peer != client),
            method: text(Text::Method).unwrap_or_default(),
            path: text(Text::Path).unwrap_or_default(),
            protocol: protocol(facts.version),
            tls: facts.peer.is_some_and(|peer| peer.tls),
            status: answered.map(|answered| answered.status.as_u16()),
            bytes: record.sent_bytes(),
            bytes_expected: answered.map(|answered| answered.body_bytes),
            ttfb_ms: answered.map(|answered| milliseconds(answered.ttfb_us)),
            duration_ms: milliseconds(record.took_us()),
            ended: record.ended().as_str(),
            outcome: answered.map(|answered| answered.told.outcome.as_str()),
            cache: answered.and_then(|answered| answered.told.cache).map(|cache| cache.as_str()),
            class: answered.map(|answered| answered.told.class.as_str()),
            title,
            generation: generation.map(|generation| generation.0),
            track: track.map(|track| track.to_string()),
            segment,
            range: text(Text::Range),
            referer: text(Text::Referer),
            user_agent: text(Text::UserAgent),
            request_id: text(Text::RequestId),
            cmcd,
        }
    }
}

type Named = (Option<TitleId>, Option<Generation>, Option<TrackId>, Option<u32>);

fn named(route: Route) -> Named {
    let title = Some(route.title());
    match route {
        Route::Multivariant { .. } => (title, None, None, None),
        Route::Still { generation, .. } | Route::Download { generation, .. } => (title, Some(generation), None, None),
        Route::MediaPlaylist { generation, track, .. }
        | Route::IFramePlaylist { generation, track, .. }
        | Route::Init { generation, track, .. } => (title, Some(generation), Some(track), None),
        Route::Segment { generation, track, number, .. } => (title, Some(generation), Some(track), Some(number.0)),
    }
}

fn client_data<S: Serializer>(cmcd: &&Cmcd, out: S) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(None)?;
    for (key, value) in cmcd.values() {
        map.serialize_entry(key, &Shown(value))?;
    }
    if cmcd.custom().next().is_some() {
        map.serialize_entry("custom", &Custom(cmcd))?;
    }
    for (key, count) in [("unknown", cmcd.unknown), ("malformed", cmcd.malformed)] {
        if count > 0 {
            map.serialize_entry(key, &count)?;
        }
    }
    if cmcd.cut {
        map.serialize_entry("cut", &true)?;
    }
    map.end()
}

struct Custom<'a>(&'a Cmcd);

impl Serialize for Custom<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(self.0.custom().map(|(key, value)| (key, Shown(value))))
    }
}

struct Shown<'a>(&'a CmcdValue);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            CmcdValue::Boolean(value) => out.serialize_bool(*value),
            CmcdValue::Integer(value) => out.serialize_i64(*value),
            CmcdValue::Decimal(value) => out.serialize_f64(*value),
            CmcdValue::Text(value) => out.serialize_str(value),
            CmcdValue::Texts(values) => out.collect_seq(values),
            // A number for all types of object stands under "all".
            CmcdValue::Integers(values) => out.collect_map(values.iter().map(|(value, of)| (of.unwrap_or("all"), value))),
        }
    }
}

fn clf(record: &Record, facts: &Facts, out: &mut Vec<u8>) {
    let mut line = facts.client.map_or("-".to_owned(), |client| client.address.to_string());
    let text = |text| record.texts.get(text).unwrap_or_default();
    let status = facts.answered.as_ref().map_or(CLIENT_CLOSED, |answered| answered.status.as_u16());
    // Writing to a string cannot fail.
    let _ = write!(line, " - - [{}] \"", clf_time(facts.at_ms));
    escape(text(Text::Method), &mut line);
    line.push(' ');
    escape(text(Text::Path), &mut line);
    if let Some(value) = record.texts.get(Text::CmcdQuery) {
        line.push_str("?CMCD=");
        escape(value, &mut line);
    }
    let _ = match record.sent_bytes() {
        0 => write!(line, " {}\" {status} -", protocol(facts.version)),
        bytes => write!(line, " {}\" {status} {bytes}", protocol(facts.version)),
    };
    for field in [Text::Referer, Text::UserAgent] {
        line.push_str(" \"");
        escape(record.texts.get(field).unwrap_or(b"-"), &mut line);
        line.push('"');
    }
    line.push('\n');
    out.extend(line.bytes());
}

/// Visible ASCII and spaces as they are, quotes and backslashes after a backslash, other bytes as `\xHH`.
fn escape(bytes: &[u8], line: &mut String) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                line.push('\\');
                line.push(char::from(byte));
            }
            b' '..=b'~' => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP",
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

/// RFC 3339 with milliseconds.
fn time(at_ms: i64) -> String {
    format!("{:.3}", timestamp(at_ms))
}

fn clf_time(at_ms: i64) -> String {
    timestamp(at_ms).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut line = String::new();
        escape(b"a \"b\" \\ \x00\x1f\x7f\xff\n", &mut line);
        assert_eq!(line, "a \\\"b\\\" \\\\ \\x00\\x1f\\x7f\\xff\\x0a");
    }

    #[test]
    fn losses_are_told_in_the_form_of_the_log() {
        for (format, expect) in [
            (AccessFormat::Json, "{\"time\":\"1994-11-06T08:49:37.123Z\",\"lost\":7}\n"),
            (AccessFormat::Clf, "- - - [06/Nov/1994:08:49:37 +0000] \"lost 7\" - -\n"),
        ] {
            let mut line = Vec::new();
            write_lost(format, 784_111_777_123, 7, &mut line);
            assert_eq!(String::from_utf8_lossy(&line), expect);
        }
    }
}
