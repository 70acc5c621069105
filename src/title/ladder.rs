//! The ladder: which renditions a source of a given size deserves. Rungs are data (`config/ladders/`), the choice is here.

use serde::{Deserialize, Serialize};

/// One rung as the ladder file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Name of the rendition, such as `720p`.
    pub name: String,
    /// Shorter side of the picture in pixels.
    pub short_side: u32,
    /// Constant rate factor of the encoder in tenths; lower is better and larger.
    pub crf_tenths: u16,
    /// Highest bit rate over the length of the buffer, for up to 30 frames a second.
    pub maxrate_kbps: u32,
    /// Size of the decoder's buffer that `maxrate_kbps` is held over.
    pub bufsize_kbit: u32,
}

/// A ladder as its file describes it: rungs from largest to smallest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// Bit rates grow by this many percent for sources above 30 frames a second.
    pub high_rate_percent: u32,
    /// The rungs, largest first.
    #[serde(rename = "rung")]
    pub rungs: Vec<Rung>,
    /// The rungs of high dynamic range, largest first; there may be none.
    #[serde(rename = "hdr", default)]
    pub hdr_rungs: Vec<Rung>,
}

impl Ladder {
    /// Reads a ladder file.
    ///
    /// # Errors
    /// [`InvalidLadder`] with every fault at once: syntax, no rung, sizes that do not fall, sizes or rates of zero.
    pub fn parse(text: &str) -> Result<Self, InvalidLadder> {
        let ladder: Self = toml::from_str(text).map_err(|error| InvalidLadder(vec![error.to_string()]))?;
        let mut faults = Vec::new();
        if ladder.rungs.is_empty() {
            faults.push("there is no rung".to_owned());
        }
        check_rungs(&ladder.rungs, &mut faults);
        check_rungs(&ladder.hdr_rungs, &mut faults);
        if faults.is_empty() { Ok(ladder) } else { Err(InvalidLadder(faults)) }
    }
}

/// Rungs of a kind at most; players have no use for more, and a track's index is a byte.
const RUNGS_MAX: usize = 32;

fn check_rungs(rungs: &[Rung], faults: &mut Vec<String>) {
    if rungs.len() > RUNGS_MAX {
        faults.push(format!("there are {} rungs of a kind, and {RUNGS_MAX} may be", rungs.len()));
    }
    for rung in rungs {
        if rung.short_side < 16 || rung.short_side > 4320 || rung.short_side % 2 != 0 {
            faults.push(format!("rung {}: short_side must be even and 16 to 4320", rung.name));
        }
        if rung.crf_tenths > 510 {
            faults.push(format!("rung {}: crf_tenths must be at most 510", rung.name));
        }
        if rung.maxrate_kbps == 0 || rung.bufsize_kbit == 0 {
            faults.push(format!("rung {}: maxrate_kbps and bufsize_kbit must be above 0", rung.name));
        }
    }
    for pair in rungs.windows(2) {
        if pair[1].short_side >= pair[0].short_side {
            faults.push(format!("rung {} must be smaller than {}", pair[1].name, pair[0].name));
        }
        if pair[1].maxrate_kbps > pair[0].maxrate_kbps {
            faults.push(format!("rung {} must not have a higher maxrate_kbps than {}", pair[1].name, pair[0].name));
        }
    }
}

/// A ladder file that cannot be used, with every fault in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidLadder(pub Vec<String>);

/// A rung fitted to one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungSize {
    /// The rung it came from, its name adapted where the size is the source's own.
    pub rung: Rung,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
}

/// A source this much larger than the largest rung that fits gets a rung of its own size.
const OWN_RUNG_PERCENT: u32 = 120;

/// Fits a ladder to a picture of `width` × `height` square pixels, upright: rungs never larger than the source, largest
/// first, all of the source's shape and even. There is always at least one.
pub fn fit(ladder: &Ladder, width: u32, height: u32) -> Vec<RungSize> {
    let short = width.min(height).max(2);
    let mut fitting: Vec<Rung> = ladder.rungs.iter().filter(|rung| rung.short_side <= short).cloned().collect();
    let largest = fitting.first().map_or(0, |rung| rung.short_side);
    if short * 100 >= largest * OWN_RUNG_PERCENT || fitting.is_empty() {
        fitting.splice(0..0, own_rung(ladder, short));
    }
    fitting.into_iter().map(|rung| sized(rung, width, height)).collect()
}

/// The rung for a picture of just this size, upright and in square pixels; absent when the ladder does not go that high.
pub fn own_size(ladder: &Ladder, width: u32, height: u32) -> Option<RungSize> {
    let short = width.min(height);
    let exact = ladder.rungs.iter().find(|rung| rung.short_side == short).cloned();
    exact.or_else(|| own_rung(ladder, short)).map(|rung| sized(rung, width, height))
}

/// A rung between others has the next larger one's quality and limits, for it is nearest in what it must carry.
fn own_rung(ladder: &Ladder, short: u32) -> Option<Rung> {
    let pattern = ladder.rungs.iter().rev().find(|rung| rung.short_side > short)?;
    Some(Rung { name: format!("{short}p"), short_side: short, ..pattern.clone() })
}

/// Fits the rungs of high dynamic range: those not larger than the source, or, where all of them are larger, none. The
/// standard renditions serve players on slow lines.
pub fn fit_hdr(ladder: &Ladder, width: u32, height: u32) -> Vec<RungSize> {
    let short = width.min(height);
    ladder.hdr_rungs.iter().filter(|rung| rung.short_side <= short).map(|rung| sized(rung.clone(), width, height)).collect()
}

fn sized(rung: Rung, width: u32, height: u32) -> RungSize {
    let short = width.min(height).max(1);
    let even = |side: u32| {
        let scaled = (u64::from(side) * u64::from(rung.short_side) + u64::from(short)) / (2 * u64::from(short));
        u32::try_from(scaled * 2).unwrap_or(u32::MAX).max(2)
    };
    RungSize { width: even(width), height: even(height), rung }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder() -> Ladder {
        Ladder::parse(include_str!("../../config/ladders/default.toml")).expect("the shipped ladder")
    }

    #[test]
    fn rungs_never_exceed_the_source() {
        for (width, height, expect) in [
            (1280, 720, vec![(1280, 720), (960, 540), (640, 360), (426, 240)]),
            (720, 1280, vec![(720, 1280), (540, 960), (360, 640), (240, 426)]),
            (1920, 1080, vec![(1920, 1080), (1280, 720), (960, 540), (640, 360), (426, 240)]),
            (720, 405, vec![(640, 360), (426, 240)]),
            (800, 640, vec![(675, 540), (450, 360), (300, 240)]),
            (161, 121, vec![(162, 122)]),
            (2, 2, vec![(2, 2)]),
        ] {
            let sizes: Vec<_> = fit(&ladder(), width, height).iter().map(|size| (size.width, size.height)).collect();
            let expect: Vec<_> = expect.into_iter().map(|(w, h): (u32, u32)| (w.next_multiple_of(2), h)).collect();
            assert_eq!(sizes, expect, "{width}x{height}");
        }
    }

    #[test]
    fn a_size_between_rungs_is_held_to_the_larger_ones_limits() {
        for (width, height, expect) in [
            (1920, 1080, Some(("1080p", 1920, 1080, 5500))),
            (1920, 800, Some(("800p", 1920, 800, 5500))),
            (404, 720, Some(("404p", 404, 720, 1800))),
            (5120, 2880, None),
        ] {
            let found = own_size(&ladder(), width, height);
            let found = found.as_ref().map(|size| (size.rung.name.as_str(), size.width, size.height, size.rung.maxrate_kbps));
            assert_eq!(found, expect, "{width}x{height}");
        }
    }

    #[test]
    fn rungs_of_high_dynamic_range_are_those_that_fit() {
        let sizes = |width, height| -> Vec<_> { fit_hdr(&ladder(), width, height).iter().map(|size| (size.width, size.height)).collect() };
        assert_eq!(sizes(1920, 1080), [(1920, 1080), (1280, 720), (960, 540)]);
        assert_eq!(sizes(1080, 1920), [(1080, 1920), (720, 1280), (540, 960)]);
        assert_eq!(sizes(640, 360), []);
    }

    #[test]
    fn every_fault_is_named() {
        let text = "high_rate_percent = 140\n[[rung]]\nname='a'\nshort_side=15\ncrf_tenths=600\nmaxrate_kbps=0\nbufsize_kbit=1\n";
        let faults = Ladder::parse(text).expect_err("faulty").0;
        assert_eq!(faults.len(), 3, "{faults:?}");
        let rung =
            |kind: &str, side: u32| format!("[[{kind}]]\nname='a'\nshort_side={side}\ncrf_tenths=60\nmaxrate_kbps=1\nbufsize_kbit=1\n");
        let sound = format!("high_rate_percent = 140\n{}", rung("rung", 16));
        assert_eq!(Ladder::parse(&sound).map(|ladder| ladder.hdr_rungs.len()), Ok(0));
        assert_eq!(Ladder::parse(&format!("{sound}{}", rung("hdr", 7))).expect_err("faulty").0.len(), 1);
        let many = |count: u32| (0..count).map(|index| rung("rung", 1000 - 2 * index)).collect::<String>();
        let counted = |count| Ladder::parse(&format!("high_rate_percent = 140\n{}", many(count))).map_err(|faults| faults.0.len());
        assert_eq!((counted(32).map(|ladder| ladder.rungs.len()), counted(33)), (Ok(32), Err(1)));
        assert!(Ladder::parse("high_rate_percent = 100\nrung = []").is_err());
        assert!(Ladder::parse("colour = 1").is_err());
    }
}
