//! Pulls typed values out of the layers, remembers where each came from, and collects every fault instead of stopping at
//! the first.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use super::layers::{Layers, Raw, Source};
use super::{Fault, Secret, Setting, values};
use crate::semantics::Network;

/// A value as the configuration reads it and as it is printed.
type Read<T> = Result<(T, toml::Value), String>;

/// Reads keys one by one. Each method is called once a key, and gives nothing when the key is at fault.
///
/// The values of lower layers are checked too: a fault that is hidden today by a variable shows up when that goes away.
pub(super) struct Reader {
    layers: Layers,
    taken: BTreeSet<&'static str>,
    pub(super) faults: Vec<Fault>,
    settings: Vec<Setting>,
}

impl Reader {
    pub(super) fn new(layers: Layers, faults: Vec<Fault>) -> Self {
        Self { layers, taken: BTreeSet::new(), faults, settings: Vec::new() }
    }

    /// Every setting in the order read, and all faults, unknown keys included.
    pub(super) fn finish(mut self) -> (Vec<Setting>, Vec<Fault>) {
        for (key, layers) in &self.layers.values {
            if !self.taken.contains(key.as_str()) {
                let unknown = |(source, _): &(Source, Raw)| Fault::new(key, source.clone(), "no such key");
                self.faults.extend(layers.iter().map(unknown));
            }
        }
        (self.settings, self.faults)
    }

    /// Reports a fault of a key that was read, against the layer its value came from.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let source = self.settings.iter().find(|setting| setting.key == key).map_or(Source::Default, |setting| setting.source.clone());
        self.faults.push(Fault::new(key, source, message));
    }

    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let value = within(values::duration(&text)?, &range, values::show_duration)?;
            Ok((value, text.into()))
        })
    }

    /// Whole seconds, as the fields of HTTP count them, or nothing where the text is empty.
    pub(super) fn optional_seconds(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Option<Duration>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            if text.is_empty() {
                return Ok((None, text.into()));
            }
            let value = within(values::duration(&text)?, &range, values::show_duration)?;
            if value.subsec_nanos() != 0 {
                return Err("expected whole seconds, as Cache-Control counts them".to_owned());
            }
            Ok((Some(value), text.into()))
        })
    }

    /// The value of a field of HTTP, or nothing where the text is empty.
    pub(super) fn optional_field(&mut self, key: &'static str) -> Option<Option<HeaderValue>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
            let value = visible.then(|| HeaderValue::from_str(&text).ok()).flatten().ok_or("expected visible ASCII characters")?;
            Ok(((!text.is_empty()).then_some(value), text.into()))
        })
    }

    pub(super) fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let value = within(values::bytes(&text)?, &range, values::show_bytes)?;
            Ok((value, text.into()))
        })
    }

    pub(super) fn integer<T>(&mut self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
        self.take(key, |raw| {
            let number = match raw {
                Raw::Typed(toml::Value::Integer(number)) => *number,
                Raw::Typed(_) => return Err(expected()),
                Raw::Text(text) => text.parse().map_err(|_| expected())?,
            };
            let value = T::try_from(number).ok().filter(|value| range.contains(value)).ok_or_else(expected)?;
            Ok((value, number.into()))
        })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.take(key, |raw| {
            let value = match raw {
                Raw::Typed(toml::Value::Boolean(value)) => Some(*value),
                Raw::Typed(_) => None,
                Raw::Text(text) => text.parse().ok(),
            };
            let value = value.ok_or("expected true or false")?;
            Ok((value, value.into()))
        })
    }

    pub(super) fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            Ok((address(&text)?, text.into()))
        })
    }

    /// An address, or nothing where the text is empty.
    pub(super) fn optional_address(&mut self, key: &'static str) -> Option<Option<SocketAddr>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let value = if text.is_empty() { None } else { Some(address(&text)?) };
            Ok((value, text.into()))
        })
    }

    /// Any number of paths, separated by commas.
    pub(super) fn paths(&mut self, key: &'static str) -> Option<Vec<PathBuf>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            if text.is_empty() {
                return Ok((Vec::new(), text.into()));
            }
            let paths: Vec<PathBuf> = text.split(',').map(|path| path.trim().into()).collect();
            if paths.iter().any(|path| path.as_os_str().is_empty()) {
                return Err("expected paths separated by commas".to_owned());
            }
            Ok((paths, text.into()))
        })
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            if text.is_empty() { Err("expected a path".to_owned()) } else { Ok((text.clone().into(), text.into())) }
        })
    }

    /// A list of networks; as text they stand between commas.
    pub(super) fn networks(&mut self, key: &'static str) -> Option<Vec<Network>> {
        self.take(key, |raw| {
            let texts: Vec<&str> = match raw {
                Raw::Text(text) if text.is_empty() => Vec::new(),
                Raw::Text(text) => text.split(',').map(str::trim).collect(),
                Raw::Typed(value) => {
                    let texts = value.as_array().and_then(|list| list.iter().map(toml::Value::as_str).collect::<Option<_>>());
                    texts.ok_or("expected a list of texts in quotes, such as [\"10.0.0.0/8\"]")?
                }
            };
            let networks = texts.iter().map(|text| text.parse().map_err(|error| format!("{text}: {error}")));
            let networks: Vec<Network> = networks.collect::<Result<_, String>>()?;
            let shown: Vec<toml::Value> = texts.into_iter().map(toml::Value::from).collect();
            Ok((networks, shown.into()))
        })
    }

    /// A path, or nothing where the text is empty.
    pub(super) fn optional_path(&mut self, key: &'static str) -> Option<Option<PathBuf>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            Ok(((!text.is_empty()).then(|| text.clone().into()), text.into()))
        })
    }

    /// A base URL, or nothing where the text is empty.
    pub(super) fn optional_url(&mut self, key: &'static str) -> Option<Option<String>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let value = if text.is_empty() { None } else { Some(values::base_url(&text)?) };
            Ok((value, text.into()))
        })
    }

    /// A secret, or nothing where the text is empty. It never appears in what is printed.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Option<Secret>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            if text.is_empty() {
                return Ok((None, text.into()));
            }
            if text == Secret::MASK {
                return Err("this is the mask that a token is printed as, not a token".to_owned());
            }
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("expected visible ASCII characters without spaces".to_owned());
            }
            Ok((Some(Secret::new(text)), Secret::MASK.into()))
        })
    }

    /// Fields of an HTTP message, `Name: value`, one a line. Their values may be secret: nothing of them is printed.
    pub(super) fn secret_fields(&mut self, key: &'static str) -> Option<Vec<(String, String)>> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let mut fields = Vec::new();
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let (name, value) = line.split_once(':').ok_or("expected 'Name: value', one a line")?;
                let name_is_one = http::HeaderName::try_from(name.trim()).is_ok();
                if !name_is_one || http::HeaderValue::try_from(value.trim()).is_err() {
                    return Err("expected 'Name: value', one a line".to_owned());
                }
                fields.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            let shown = if fields.is_empty() { "" } else { Secret::MASK };
            Ok((fields, shown.into()))
        })
    }

    /// One of the given words.
    pub(super) fn choice<T: Clone>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            let found = choices.iter().find(|(name, _)| *name == text);
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let (_, value) = found.ok_or_else(|| format!("expected one of {}", names.join(", ")))?;
            Ok((value.clone(), text.into()))
        })
    }

    /// Text that `check` accepts.
    pub(super) fn text(&mut self, key: &'static str, check: impl Fn(&str) -> Result<(), String>) -> Option<String> {
        self.take(key, |raw| {
            let text = as_text(raw)?;
            check(&text)?;
            Ok((text.clone(), text.into()))
        })
    }

    fn take<T>(&mut self, key: &'static str, read: impl Fn(&Raw) -> Read<T>) -> Option<T> {
        self.taken.insert(key);
        let mut winner = None;
        let Some(layers) = self.layers.values.get(key) else {
            self.faults.push(Fault::new(key, Source::Default, "has no default"));
            return None;
        };
        for (source, raw) in layers {
            match read(raw) {
                Ok((value, shown)) => winner = Some((value, shown, source)),
                Err(message) => {
                    winner = None;
                    self.faults.push(Fault::new(key, source.clone(), message));
                }
            }
        }
        let (value, shown, source) = winner?;
        self.settings.push(Setting { key, value: shown, source: source.clone() });
        Some(value)
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8081 or [::1]:8081".to_owned())
}

fn as_text(raw: &Raw) -> Result<String, String> {
    match raw {
        Raw::Typed(toml::Value::String(text)) | Raw::Text(text) => Ok(text.clone()),
        Raw::Typed(other) => Err(format!("expected text in quotes, found {}", other.type_str())),
    }
}

fn within<T: PartialOrd + Copy>(value: T, range: &RangeInclusive<T>, show: impl Fn(T) -> String) -> Result<T, String> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("{} is not between {} and {}", show(value), show(*range.start()), show(*range.end())))
    }
}
