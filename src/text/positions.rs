//! Where a cue stands on the screen: the settings of WebVTT (3.4), and the places of SubRip and ASS said in them.

/// The settings of a cue that are well formed, in the order they came. A region is none: regions are dropped.
pub(super) fn kept(settings: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for setting in settings.split_ascii_whitespace() {
        let name = setting.split(':').next().unwrap_or_default();
        let first = !kept.iter().any(|other| other.split(':').next() == Some(name));
        if first && is_setting(setting) {
            kept.push(setting);
        }
    }
    kept.join(" ")
}

/// The settings of a place of ASS (`\an1` to `\an9`, as on a numeric pad); none for the usual one, below in the middle.
pub(super) fn of_pad(place: u8) -> String {
    let line = match place {
        4..=6 => Some("line:50%"),
        7..=9 => Some("line:0"),
        _ => None,
    };
    let align = match place {
        1 | 4 | 7 => Some("align:left"),
        3 | 6 | 9 => Some("align:right"),
        _ => None,
    };
    line.into_iter().chain(align).collect::<Vec<_>>().join(" ")
}

fn is_setting(setting: &str) -> bool {
    let Some((name, value)) = setting.split_once(':') else { return false };
    let (number, anchor) = match value.split_once(',') {
        Some((number, anchor)) => (number, Some(anchor)),
        None => (value, None),
    };
    match name {
        "vertical" => matches!(value, "rl" | "lr"),
        "align" => matches!(value, "start" | "center" | "end" | "left" | "right"),
        "size" => is_percentage(value),
        "position" => is_percentage(number) && anchor.is_none_or(|anchor| matches!(anchor, "line-left" | "center" | "line-right")),
        "line" => (is_percentage(number) || is_line(number)) && anchor.is_none_or(|anchor| matches!(anchor, "start" | "center" | "end")),
        _ => false,
    }
}

fn is_percentage(value: &str) -> bool {
    let Some(number) = value.strip_suffix('%') else { return false };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && number.parse::<f64>().is_ok_and(|number| number <= 100.0)
}

fn is_line(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_webvtt_knows_is_kept() {
        for (settings, expect) in [
            ("align:start position:10%", "align:start position:10%"),
            ("line:-1 size:50.5% vertical:rl", "line:-1 size:50.5% vertical:rl"),
            ("line:0,start  position:20%,line-left", "line:0,start position:20%,line-left"),
            ("region:fred align:center", "align:center"),
            ("X1:40 X2:600 Y1:20 Y2:50", ""),
            ("position:110% line:5,middle align:justify size:x% line:", ""),
            ("align:left align:right", "align:left"),
            ("-->", ""),
        ] {
            assert_eq!(kept(settings), expect, "{settings}");
        }
    }

    #[test]
    fn places_of_the_pad() {
        for (place, expect) in [(2, ""), (8, "line:0"), (5, "line:50%"), (1, "align:left"), (9, "line:0 align:right"), (0, ""), (99, "")] {
            assert_eq!(of_pad(place), expect, "{place}");
            assert_eq!(kept(&of_pad(place)), expect);
        }
    }
}
