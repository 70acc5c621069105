//! Shows how far something is: a bar where one can be drawn, else a line now and then.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::Terminal;
use super::figures::percent;

/// Longest time without a line where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Steps of a bar; finer than any terminal shows.
const STEPS: u64 = 1000;

/// Shows the way of one thing. When it is dropped, a bar vanishes.
pub(super) struct Meter<'a> {
    label: String,
    started: Instant,
    look: Look<'a>,
}

enum Look<'a> {
    Bar(ProgressBar),
    Lines { err: &'a mut (dyn Write + Send), shown: Option<(Instant, u64)> },
}

impl<'a> Meter<'a> {
    /// Nothing is shown until something is told.
    pub(super) fn new(terminal: &'a mut Terminal<'_>, label: &str) -> Self {
        let look = if terminal.bars {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10))
                .with_finish(ProgressFinish::AndClear)
                .with_prefix(label.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3}%  {msg}") {
                bar.set_style(style.progress_chars("━━─"));
            }
            Look::Bar(bar)
        } else {
            Look::Lines { err: terminal.err, shown: None }
        };
        Self { label: label.to_owned(), started: Instant::now(), look }
    }

    /// Time since it was made.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// It is this far; `figures` say it in words.
    pub(super) fn show(&mut self, fraction: f64, figures: &str) {
        self.show_at(fraction, figures, Instant::now());
    }

    fn show_at(&mut self, fraction: f64, figures: &str, now: Instant) {
        match &mut self.look {
            Look::Bar(bar) => {
                bar.set_message(figures.to_owned());
                bar.set_position((fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
            }
            Look::Lines { err, shown } => {
                let percent = percent(fraction);
                let worth_a_line = shown.is_none_or(|(at, before)| percent / 10 != before / 10 || now >= at + LINE_INTERVAL);
                if worth_a_line {
                    *shown = Some((now, percent));
                    // There is nowhere else to say it.
                    let _ = writeln!(err, "{}: {percent}%  {figures}", self.label);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn without_a_terminal_there_is_a_line_now_and_then() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let environment = BTreeMap::new();
        let mut terminal = Terminal { out: &mut out, err: &mut err, environment: &environment, bars: false };
        let mut meter = Meter::new(&mut terminal, "film.mp4");
        let start = Instant::now();
        for step in 0..=100_u32 {
            meter.show_at(f64::from(step) / 100.0, "on its way", start + Duration::from_millis(u64::from(step)));
        }
        meter.show_at(1.0, "still", start + Duration::from_secs(11));
        drop(meter);
        let text = String::from_utf8(err).expect("UTF-8");
        assert_eq!(text.lines().count(), 12, "{text}");
        assert!(text.starts_with("film.mp4: 0%  on its way\nfilm.mp4: 10%  on its way\n"), "{text}");
        assert!(text.ends_with("film.mp4: 100%  still\n"), "{text}");
    }
}
