//! Prints settings as a TOML document that says where each value came from.

use std::fmt::Write;

use super::Setting;

/// The document; sections in the order they come, values in a column, origins as comments.
pub(super) fn document(settings: &[Setting]) -> String {
    let lines: Vec<(&str, String, String)> = settings
        .iter()
        .map(|setting| {
            let (section, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
            (section, format!("{key} = {}", setting.value), comment(&setting.source.to_string()))
        })
        .collect();
    let width = lines.iter().map(|(_, line, _)| line.chars().count()).max().unwrap_or(0);
    let mut document = String::new();
    let mut section = "";
    for (of, line, source) in &lines {
        if *of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = of;
            // Writing to a string cannot fail.
            let _ = writeln!(document, "{gap}[{section}]");
        }
        let _ = writeln!(document, "{line:width$}  # {source}");
    }
    document
}

/// A comment ends at its line and takes no control characters (TOML 1.0, Comment); a path may have any.
fn comment(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
