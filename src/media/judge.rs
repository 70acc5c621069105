//! How good a picture would be as a poster, judged by its brightness alone, as a small picture in limited range tells it.

/// What was measured of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looks {
    /// Mean brightness, 0 to 1.
    pub mean: f64,
    /// Standard deviation of the brightness, 0 to 0.5.
    pub contrast: f64,
    /// Mean difference of neighbouring pixels, 0 to 1: low in flat and in blurred pictures.
    pub detail: f64,
    /// How evenly the shades of grey are used, 0 to 1: low for titles on a plain ground, however sharp.
    pub shades: f64,
    /// Share of pixels that are as good as black.
    pub black: f64,
}

/// Darkest and brightest code of limited range.
const BLACK: f64 = 16.0;
const RANGE: f64 = 219.0;
/// Codes up to this one are as good as black.
const BLACK_MOST: u8 = 32;
/// A picture of which so much is black is black.
const BLACK_SHARE: f64 = 0.98;
/// Shades that are told apart.
const SHADES: usize = 64;
/// A change of the mean in half a second that only a fade, or a cut, makes.
const STEADY_MEAN: f64 = 0.04;
/// A picture of less contrast is flat.
const FLAT_CONTRAST: f64 = 0.05;
/// What any picture is worth that is not black: more than one that is.
const FLAT_WORTH: f64 = 0.001;

impl Looks {
    /// Measures a picture of `width` pixels a row, its rows `stride` bytes apart.
    pub fn of(luma: &[u8], stride: usize, width: usize, height: usize) -> Self {
        let rows = || luma.chunks(stride.max(1)).take(height).map(|row| &row[..width.min(row.len())]);
        let pixels = rows().map(<[u8]>::len).sum::<usize>();
        let count = pixels.max(1) as f64;
        let mut histogram = [0_u32; 256];
        let (mut steps, mut pairs) = (0_u64, 0_u64);
        let mut above: Option<&[u8]> = None;
        for row in rows() {
            for pixel in row {
                histogram[usize::from(*pixel)] += 1;
            }
            let beside = row.iter().zip(row.iter().skip(1));
            let over = row.iter().zip(above.unwrap_or_default());
            for (one, other) in beside.chain(over) {
                steps += u64::from(one.abs_diff(*other));
                pairs += 1;
            }
            above = Some(row);
        }
        let level = |code: usize| ((code as f64 - BLACK) / RANGE).clamp(0.0, 1.0);
        let over_codes = |value: &dyn Fn(f64) -> f64| {
            histogram.iter().enumerate().map(|(code, n)| value(level(code)) * f64::from(*n)).sum::<f64>() / count
        };
        let mean = over_codes(&|level| level);
        let contrast = over_codes(&|level| (level - mean) * (level - mean)).sqrt();
        let dark: f64 = histogram[..=usize::from(BLACK_MOST)].iter().map(|n| f64::from(*n)).sum();
        // Without any pixel there is nothing to see either.
        let black = if pixels == 0 { 1.0 } else { dark / count };
        let shades = histogram.chunks(256 / SHADES).map(|codes| codes.iter().map(|n| f64::from(*n)).sum::<f64>() / count);
        let entropy: f64 = shades.filter(|share| *share > 0.0).map(|share| -share * share.log2()).sum();
        Self { mean, contrast, detail: steps as f64 / pairs.max(1) as f64 / RANGE, shades: entropy / (SHADES as f64).log2(), black }
    }

    /// Whether there is nothing to see.
    pub fn is_black(&self) -> bool {
        self.black >= BLACK_SHARE
    }

    /// Whether a picture half a second later belongs to the same steady shot; in a fade it does not.
    pub fn is_steady(&self, later: &Self) -> bool {
        (self.mean - later.mean).abs() <= STEADY_MEAN && (self.contrast - later.contrast).abs() <= STEADY_MEAN
    }

    /// How good a poster it would be, from 0 to 1. Many shades count most; then sharpness, and light that is neither dim nor
    /// glaring. What is flat is worth little, and what is black nothing.
    pub fn worth(&self) -> f64 {
        if self.is_black() {
            return 0.0;
        }
        let light = 1.0 - (2.0 * (self.mean - 0.45).abs()).min(1.0);
        let sharp = (self.detail / 0.06).min(1.0);
        let worth = (self.contrast / FLAT_CONTRAST).min(1.0) * self.shades * (0.5 + 0.25 * light + 0.25 * sharp) * (1.0 - 0.5 * self.black);
        worth.max(FLAT_WORTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    fn looks(pixel: impl Fn(usize, usize) -> u8) -> Looks {
        let luma: Vec<u8> = (0..SIDE * SIDE).map(|at| pixel(at % SIDE, at / SIDE)).collect();
        Looks::of(&luma, SIDE, SIDE, SIDE)
    }

    /// Many shades with edges: somewhat like a picture.
    fn scene(x: usize, y: usize) -> u8 {
        40 + ((x * 3 + y * 2 + x * y / 3) % 160) as u8
    }

    #[test]
    fn nothing_to_see_is_worth_nothing_or_little() {
        assert!(looks(|_, _| 16).is_black());
        assert!(looks(|_, _| 120).worth() > looks(|_, _| 16).worth() && !looks(|_, _| 120).is_black());
        for (name, looks) in [
            ("black", looks(|_, _| 16)),
            ("nearly black", looks(|x, _| 16 + (x % 8) as u8)),
            ("white", looks(|_, _| 235)),
            ("grey", looks(|x, y| 120 + ((x + y) % 3) as u8)),
        ] {
            assert!(looks.worth() < 0.05, "{name}: {}", looks.worth());
        }
    }

    #[test]
    fn a_scene_is_worth_more_than_what_is_not_quite_one() {
        let best = looks(scene).worth();
        for (name, other) in [
            ("letters on black", looks(|x, y| if (x / 2 + y / 4) % 7 == 0 { 235 } else { 16 })),
            ("a dim scene", looks(|x, y| 16 + scene(x, y) / 8)),
            ("a pale scene", looks(|x, y| 180 + scene(x, y) / 8)),
            ("a blurred scene", looks(|x, y| 60 + (x + y) as u8)),
        ] {
            assert!(other.worth() < best, "{name}: {} against {best}", other.worth());
        }
    }

    #[test]
    fn a_fade_is_not_steady() {
        let scene = looks(scene);
        assert!(scene.is_steady(&looks(|x, y| self::scene(x + 1, y))));
        assert!(!scene.is_steady(&looks(|x, y| 16 + self::scene(x, y) / 2)));
    }

    #[test]
    fn padding_does_not_count() {
        let padded: Vec<u8> =
            (0..SIDE * SIDE * 2).map(|at| if at % (2 * SIDE) < SIDE { scene(at % (2 * SIDE), at / (2 * SIDE)) } else { 255 }).collect();
        assert_eq!(Looks::of(&padded, 2 * SIDE, SIDE, SIDE), looks(scene));
        assert_eq!(Looks::of(&[], 0, 0, 0).worth(), 0.0);
    }
}
