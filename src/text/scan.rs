//! Finds the cues in the lines of a SubRip or WebVTT file, as sloppy as people's files are: counters may be missing or wrong,
//! blank lines may be missing or stand in the middle of a cue, cues may overlap and come in any order.

use super::ass::Overrides;
use super::cue_text::{CueText, Dialect, TooLong, push_marked};
use super::document::Cue;
use super::sidecar::Limits;
use super::{CUE_TEXT_BYTES_MAX, Fault, FaultKind, clock, positions};

/// The cues of a file, in its order.
pub(super) fn cues(lines: &[&str], dialect: Dialect, limits: &Limits) -> Result<Vec<Cue>, Fault> {
    let mut timings: Vec<(usize, Timing)> = Vec::new();
    let mut skipping = false;
    for (index, line) in lines.iter().enumerate() {
        if dialect == Dialect::WebVtt {
            // A comment or a style sheet reaches to the next blank line, and may have arrows in it.
            let begins = index == 0 || lines[index - 1].trim().is_empty();
            skipping = if line.trim().is_empty() { false } else { skipping || begins && may_hold_arrows(line) };
            if skipping {
                continue;
            }
        }
        if let Some(timing) = timing(line, index)? {
            if timings.len() >= limits.cues_max {
                return Err(Fault::at(FaultKind::TooManyCues, index, format!("at most {} cues are taken", limits.cues_max)));
            }
            timings.push((index, timing));
        }
    }
    let mut cues = Vec::with_capacity(timings.len());
    for (place, (index, timing)) in timings.iter().enumerate() {
        let next = timings.get(place + 1).map(|(next, _)| *next);
        let text = text_lines(lines, dialect, *index, next)?;
        cues.extend(cue(timing, &text, dialect).map_err(|TooLong| {
            Fault::at(FaultKind::CueTooLong, *index, format!("at most {CUE_TEXT_BYTES_MAX} bytes of text are taken in one cue"))
        })?);
    }
    Ok(cues)
}

/// When a cue is shown, and what follows the times in their line.
struct Timing {
    start_ms: u64,
    end_ms: u64,
    rest: String,
}

/// Whether a block of WebVTT that begins with `line` is no cue (WebVTT 4.1); files joined from segments have headers inside.
fn is_other_block(line: &str) -> bool {
    may_hold_arrows(line) || begins(line, "WEBVTT") || begins(line, "X-TIMESTAMP-MAP")
}

/// Whether it is one in which a line of times is none.
fn may_hold_arrows(line: &str) -> bool {
    ["NOTE", "STYLE", "REGION"].iter().any(|word| begins(line, word))
}

fn begins(line: &str, word: &str) -> bool {
    let rest = line.trim_start_matches('\u{feff}').strip_prefix(word);
    rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with([' ', '\t', '='])) && !rest.contains("-->"))
}

/// Reads a line of times; absent for any other.
fn timing(line: &str, index: usize) -> Result<Option<Timing>, Fault> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let Some((start, rest)) = line.split_once("-->").or_else(|| line.split_once("->")) else { return Ok(None) };
    let is_time = start.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') && start.contains(':');
    // An arrow in what is said.
    if !is_time || start.trim().len() > 24 {
        return Ok(None);
    }
    let rest = rest.trim();
    let (end, rest) = match rest.split_once(char::is_whitespace) {
        // Spaces within a time, as text recognition leaves them.
        Some(_) if clock::read(rest).is_some() => (rest, ""),
        Some(split) => split,
        None => (rest, ""),
    };
    let (Some(start_ms), Some(end_ms)) = (clock::read(start), clock::read(end)) else {
        return Err(Fault::at(
            FaultKind::BadTime,
            index,
            format!("'{}' is no time of a cue: expected one such as {}", shown(line), clock::EXAMPLE),
        ));
    };
    if end_ms < start_ms {
        let message = format!("the cue ends at {} before it starts at {}", clock::write(end_ms), clock::write(start_ms));
        return Err(Fault::at(FaultKind::EndsBeforeStart, index, message));
    }
    Ok(Some(Timing { start_ms, end_ms, rest: rest.trim().to_owned() }))
}

/// The lines between one line of times and the next one, without what belongs to the next.
fn text_lines<'a>(lines: &[&'a str], dialect: Dialect, timing: usize, next: Option<usize>) -> Result<Vec<&'a str>, Fault> {
    let mut end = next.unwrap_or(lines.len());
    if next.is_some() {
        end = before_identifier(lines, dialect, timing + 1, end);
    }
    let counter = |index: usize| lines.get(index).filter(|line| is_counter(line)).and_then(|line| line.trim().parse::<u64>().ok());
    let own = timing.checked_sub(1).and_then(counter);
    let mut text = Vec::new();
    let mut blank = false;
    let mut skipping = false;
    for index in timing + 1..end {
        let line = lines[index];
        if line.trim().is_empty() {
            (blank, skipping) = (true, false);
            continue;
        }
        if blank {
            // Behind the last cue, whatever follows a blank line is no part of it.
            if next.is_none() && !text.is_empty() {
                break;
            }
            let follows = lines.get(index + 1).is_some_and(|line| !line.trim().is_empty());
            if own.is_some() && counter(index) == own.map(|own| own + 1) && follows {
                let message = format!("'{}' is no time of a cue: expected one such as {}", shown(lines[index + 1]), clock::EXAMPLE);
                return Err(Fault::at(FaultKind::BadTime, index + 1, message));
            }
            skipping |= dialect == Dialect::WebVtt && is_other_block(line);
        }
        blank = false;
        if !skipping {
            text.push(line);
        }
    }
    Ok(text)
}

/// Where the counter or identifier of the cue whose times are in line `timing` begins; at least `from`.
fn before_identifier(lines: &[&str], dialect: Dialect, from: usize, timing: usize) -> usize {
    let above = (from..timing).rev().find(|index| !lines[*index].trim().is_empty());
    let Some(above) = above else { return timing };
    let adjacent = above + 1 == timing;
    let after_blank = above > from && lines[above - 1].trim().is_empty();
    let is_identifier = match dialect {
        _ if is_counter(lines[above]) => adjacent || after_blank,
        Dialect::WebVtt => adjacent && after_blank,
        Dialect::SubRip => false,
    };
    if is_identifier { above } else { timing }
}

fn is_counter(line: &str) -> bool {
    let digits = line.trim().trim_start_matches('\u{feff}');
    (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A cue out of its lines; absent when nothing of it is ever seen.
fn cue(timing: &Timing, lines: &[&str], dialect: Dialect) -> Result<Option<Cue>, TooLong> {
    let mut out = CueText::default();
    let mut overrides = Overrides::default();
    let text = lines.join("\n");
    let mut rest = text.as_str();
    if dialect == Dialect::SubRip {
        while let Some(at) = rest.find("{\\") {
            let Some(length) = rest[at..].find('}') else { break };
            push_marked(&mut out, dialect, &rest[..at]);
            overrides.apply(&mut out, &rest[at + 1..at + length]);
            rest = &rest[at + length + 1..];
        }
    }
    push_marked(&mut out, dialect, rest);
    let settings = match dialect {
        Dialect::SubRip => overrides.settings(),
        Dialect::WebVtt => positions::kept(&timing.rest),
    };
    let text = out.finish()?;
    Ok(text.map(|text| Cue { start_ms: timing.start_ms, end_ms: timing.end_ms, settings, text }))
}

/// What a message shows of a line.
pub(super) fn shown(line: &str) -> String {
    let line = line.trim();
    let mut shown: String = line.chars().filter(|letter| !letter.is_control()).take(60).collect();
    if line.chars().count() > 60 {
        shown.push('…');
    }
    shown
}
