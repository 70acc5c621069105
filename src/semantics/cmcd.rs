//! Common media client data (CTA-5004): what a player tells of its playback with each request, from text to typed values.
//!
//! All of version 1 is known, and of version 2 (CTA-5004-B) what is public. Its keys are short words of the standard and are
//! kept under these names. Whatever a client sends, reading gives something: what is not understood is counted.

use percent_encoding::percent_decode;

/// The parameter of a query that has client data.
pub const QUERY_KEY: &str = "CMCD";
/// The fields that have client data where it is not in the query, in lower case.
pub const FIELDS: [&str; 4] = ["cmcd-request", "cmcd-object", "cmcd-session", "cmcd-status"];

/// Bytes of one request's data that are read, once decoded; what follows is left out.
pub const CMCD_BYTES_MAX: usize = 2048;
/// Keys of one request that are read.
const ITEMS_MAX: usize = 64;
/// Keys of a player's own that are kept.
const CUSTOM_MAX: usize = 8;
/// Longest key of a player's own, in bytes.
const CUSTOM_KEY_BYTES_MAX: usize = 48;
/// Longest value of a player's own, in characters, as the standard has it.
const CUSTOM_CHARS_MAX: usize = 64;
/// Members of a list that are kept; there are nine types of objects.
const MEMBERS_MAX: usize = 12;

/// What a known key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Decimal,
    /// An integer, or in version 2 a list of them by type of object.
    Integers,
    /// One of these words.
    Token(&'static [&'static str]),
    /// Text of so many characters at most.
    Text(usize),
    /// The same, or in version 2 a list of it.
    Texts(usize),
}

use Kind::{Boolean, Decimal, Integer, Integers, Text, Texts, Token};

const EVENTS: &[&str] = &["abs", "abe", "ae", "as", "b", "bc", "c", "ce", "e", "h", "m", "pc", "pe", "pr", "ps", "rr", "sk", "t", "um"];
const OBJECT_TYPES: &[&str] = &["m", "a", "v", "av", "i", "c", "tt", "k", "o"];
const FORMATS: &[&str] = &["d", "h", "e", "s", "o"];
const STREAM_TYPES: &[&str] = &["v", "l", "ll"];
const STATES: &[&str] = &["s", "p", "k", "r", "a", "w", "e", "f", "q", "d"];

/// The known keys in alphabetical order. Rates are in kbit/s, times in ms, throughput in kbit/s.
const KEYS: [(&str, Kind); 50] = [
    ("ab", Integers),
    ("bg", Boolean),
    // Length of the buffer.
    ("bl", Integers),
    // Encoded bit rate.
    ("br", Integers),
    // The buffer ran empty since the last request.
    ("bs", Boolean),
    ("bsa", Integers),
    ("bsd", Integers),
    ("bsda", Integers),
    ("cdn", Text(128)),
    ("cen", Text(64)),
    // What is played: 64 characters in version 1, 128 in version 2.
    ("cid", Text(128)),
    ("cmsdd", Text(256)),
    ("cmsds", Text(256)),
    ("cs", Text(128)),
    // Duration of the object.
    ("d", Integer),
    ("dfa", Integer),
    // Deadline.
    ("dl", Integer),
    ("e", Token(EVENTS)),
    ("ec", Texts(64)),
    ("h", Text(128)),
    ("lab", Integers),
    ("lb", Integers),
    ("ltc", Integer),
    ("msd", Integer),
    // Measured throughput.
    ("mtp", Integers),
    // The next object, and its range.
    ("nor", Texts(512)),
    ("nr", Boolean),
    ("nrr", Text(64)),
    // Type of the object.
    ("ot", Token(OBJECT_TYPES)),
    ("pb", Integers),
    // Playback rate.
    ("pr", Decimal),
    ("pt", Integer),
    ("rc", Integer),
    // Requested maximum throughput.
    ("rtp", Integer),
    ("sf", Token(FORMATS)),
    // Session.
    ("sid", Text(64)),
    ("smrt", Text(256)),
    ("sn", Integer),
    ("st", Token(STREAM_TYPES)),
    ("sta", Token(STATES)),
    // Startup: the object is needed to begin, to seek or after the buffer ran empty.
    ("su", Boolean),
    ("tab", Integers),
    // Top bit rate.
    ("tb", Integers),
    ("tbl", Integers),
    ("tpb", Integers),
    ("ts", Integer),
    ("ttfb", Integer),
    ("ttfbb", Integer),
    ("ttlb", Integer),
    // Version; 1 where it is absent.
    ("v", Integer),
];

/// A value as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number, finite.
    Decimal(f64),
    /// A word or text.
    Text(String),
    /// Whole numbers, each for the type of object named beside it, or for all.
    Integers(Vec<(i64, Option<&'static str>)>),
    /// Several texts.
    Texts(Vec<String>),
}

/// What one request told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cmcd {
    values: Vec<(&'static str, Value)>,
    custom: Vec<(String, Value)>,
    /// Keys that the standard does not have, with those of the player's own beyond the number that is kept.
    pub unknown: u32,
    /// Known keys whose value is not of their type or too long, and what is no key at all.
    pub malformed: u32,
    /// Whether there was more than is read.
    pub cut: bool,
}

/// The raw value of the parameter `CMCD` in a query without its question mark; the first one counts.
pub fn query_value(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix(QUERY_KEY)?.strip_prefix('='))
}

impl Cmcd {
    /// Reads what [`query_value`] gave, percent-encoded as it is. If that is not `whole`, its last key is left out.
    pub fn read_query_value(&mut self, value: &[u8], whole: bool) {
        // Encoded, a byte takes three at most, so what lies beyond cannot be within the limit once decoded.
        let decoded: Vec<u8> = percent_decode(&value[..value.len().min(4 * CMCD_BYTES_MAX)]).collect();
        self.read_field(&decoded, whole);
    }

    /// Reads the value of one of [`FIELDS`]; the query's value once decoded has the same form. A key that is there twice has its
    /// last value. If the value is not `whole`, its last key is left out.
    pub fn read_field(&mut self, value: &[u8], whole: bool) {
        let whole = whole && value.len() <= CMCD_BYTES_MAX;
        let text = String::from_utf8_lossy(&value[..value.len().min(CMCD_BYTES_MAX)]);
        let mut items = Items { rest: &text }.peekable();
        let mut count = 0;
        while let Some(item) = items.next() {
            // The last of what was cut off is not what was sent.
            if count == ITEMS_MAX || !whole && items.peek().is_none() {
                self.cut = true;
                return;
            }
            count += 1;
            self.item(item);
        }
    }

    /// What a known key has.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Whether a boolean key is true.
    pub fn is(&self, key: &str) -> bool {
        self.get(key) == Some(&Value::Boolean(true))
    }

    /// Known keys with their values, in the order they came.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(key, value)| (*key, value))
    }

    /// The player's own keys, which have a hyphen, with their values.
    pub fn custom(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.custom.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether nothing at all was told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn item(&mut self, item: &str) {
        if item.is_empty() {
            return;
        }
        let (key, value) = item.split_once('=').map_or((item, None), |(key, value)| (key.trim_end(), Some(value.trim_start())));
        let known = KEYS.binary_search_by(|(name, _)| (*name).cmp(key)).ok().and_then(|at| KEYS.get(at));
        if let Some((name, kind)) = known {
            match typed(*kind, value) {
                Some(value) => {
                    self.values.retain(|(there, _)| there != name);
                    self.values.push((name, value));
                }
                None => self.malformed += 1,
            }
            return;
        }
        let spelled = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte));
        if !spelled || key.is_empty() || key.len() > CUSTOM_KEY_BYTES_MAX {
            self.malformed += 1;
        } else if key.contains('-') {
            self.own(key, value);
        } else {
            self.unknown += 1;
        }
    }

    fn own(&mut self, key: &str, value: Option<&str>) {
        let Some(value) = untyped(value) else {
            self.malformed += 1;
            return;
        };
        self.custom.retain(|(there, _)| there != key);
        if self.custom.len() < CUSTOM_MAX {
            self.custom.push((key.to_owned(), value));
        } else {
            self.unknown += 1;
        }
    }
}

/// Splits at commas that stand neither in quotes nor in brackets.
struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
        let comma = self.rest.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'(' if !quoted => bracketed = true,
                b')' if !quoted => bracketed = false,
                b',' if !quoted && !bracketed => return true,
                _ => {}
            }
            false
        });
        let (item, rest) = comma.map_or((self.rest, ""), |at| (&self.rest[..at], &self.rest[at + 1..]));
        self.rest = rest;
        Some(item.trim())
    }
}

fn typed(kind: Kind, value: Option<&str>) -> Option<Value> {
    match kind {
        Boolean => boolean(value).map(Value::Boolean),
        Integer => integer(value?).map(Value::Integer),
        Decimal => decimal(value?).map(Value::Decimal),
        Integers => match value?.strip_prefix('(') {
            Some(list) => integers(list.strip_suffix(')')?).map(Value::Integers),
            None => integer(value?).map(Value::Integer),
        },
        Token(words) => words.iter().find(|word| value == Some(word)).map(|word| Value::Text((*word).to_owned())),
        Text(chars_max) => quoted(value?, chars_max).map(Value::Text),
        Texts(chars_max) => match value?.strip_prefix('(') {
            Some(list) => texts(list.strip_suffix(')')?, chars_max).map(Value::Texts),
            None => quoted(value?, chars_max).map(Value::Text),
        },
    }
}

/// A value whose key does not tell its type.
fn untyped(value: Option<&str>) -> Option<Value> {
    let Some(text) = value else { return Some(Value::Boolean(true)) };
    if text.starts_with('"') {
        return quoted(text, CUSTOM_CHARS_MAX).map(Value::Text);
    }
    if let Some(value) = boolean(value) {
        return Some(Value::Boolean(value));
    }
    if let Some(value) = integer(text) {
        return Some(Value::Integer(value));
    }
    if let Some(value) = decimal(text) {
        return Some(Value::Decimal(value));
    }
    let token = !text.is_empty() && text.len() <= CUSTOM_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    token.then(|| Value::Text(text.to_owned()))
}

/// True where there is no value, as the standard wants it; `?1` and `?0` are how structured fields write it (RFC 9651).
fn boolean(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("?1" | "true") => Some(true),
        Some("?0" | "false") => Some(false),
        Some(_) => None,
    }
}

/// Fifteen digits at most (RFC 9651 3.3.1).
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.len() <= 16 && digits.starts_with(|first: char| first.is_ascii_digit());
    let plain = plain && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// Text between quotes, with `\"` and `\\` for what stands for itself (RFC 9651 3.3.3).
fn quoted(text: &str, chars_max: usize) -> Option<String> {
    let (plain, rest) = leading_quoted(text, chars_max)?;
    rest.is_empty().then_some(plain)
}

/// The quoted text at the beginning, and what follows it.
fn leading_quoted(text: &str, chars_max: usize) -> Option<(String, &str)> {
    let mut letters = text.strip_prefix('"')?.chars();
    let (mut plain, mut chars) = (String::new(), 0);
    loop {
        let letter = match letters.next()? {
            '"' => return Some((plain, letters.as_str())),
            '\\' => letters.next().filter(|next| matches!(next, '"' | '\\'))?,
            letter => letter,
        };
        chars += 1;
        if chars > chars_max {
            return None;
        }
        plain.push(letter);
    }
}

/// `5000;v 128;a`: numbers between spaces, each with the type of object it is for.
fn integers(list: &str) -> Option<Vec<(i64, Option<&'static str>)>> {
    let mut found = Vec::new();
    for member in list.split(' ').filter(|member| !member.is_empty()) {
        let (number, of) = member.split_once(';').map_or((member, None), |(number, of)| (number, Some(of)));
        let of = match of {
            Some(of) => Some(*OBJECT_TYPES.iter().find(|word| **word == of)?),
            None => None,
        };
        if found.len() == MEMBERS_MAX {
            return None;
        }
        found.push((integer(number)?, of));
    }
    Some(found)
}

/// `"a" "b";r="0-9"`: texts between spaces; their parameters are left out.
fn texts(list: &str, chars_max: usize) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (text, after) = leading_quoted(rest, chars_max)?;
        if found.len() == MEMBERS_MAX {
            return None;
        }
        found.push(text);
        rest = after.trim_start();
        while let Some(parameter) = rest.strip_prefix(';') {
            let end = parameter.find([' ', ';', '"']).unwrap_or(parameter.len());
            rest = &parameter[end..];
            if rest.starts_with('"') {
                rest = leading_quoted(rest, chars_max)?.1;
            }
        }
        rest = rest.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests;
