//! Colours of uploads whose truth is known: patches computed from the standards go in, and what comes out of a real worker is
//! held against what the standards make of them.
//!
//! Tolerance is 3 codes of 8 bits for luma and 4 for chroma: one for each rounding on the way, the rest for the encoder.

use std::path::PathBuf;

use headwater::title::{Remark, RemarkCode, TrackId, VideoRange};

use crate::clips::{clip, file};
use crate::harness::{Opened, hdr_policy, quick_policy};
use crate::rendition::Rendition;

pub type Colour = [f64; 3];

pub const WIDTH: usize = 256;
pub const HEIGHT: usize = 144;
const COLUMNS: usize = 4;
const ROWS: usize = 3;
const LUMA_APART_MAX: f64 = 3.0;
const CHROMA_APART_MAX: f64 = 4.0;

pub const BT709: (f64, f64) = (0.2126, 0.0722);
const BT601: (f64, f64) = (0.299, 0.114);
pub const BT2020: (f64, f64) = (0.2627, 0.0593);

/// Which patch a pixel of a picture of that width belongs to.
fn patch_of(x: usize, y: usize, width: usize, height: usize) -> usize {
    y * ROWS / height * COLUMNS + x * COLUMNS / width
}

/// A film of one picture in that raw format, shown for a second.
fn film(raw: &[u8], format: &str, extension: &str, codec: &[&str]) -> PathBuf {
    let raw = file("raw", raw);
    let size = format!("{WIDTH}x{HEIGHT}");
    let input = ["-stream_loop", "24", "-f", "rawvideo", "-pix_fmt", format, "-s", &size, "-r", "25", "-i", raw.to_str().expect("a path")];
    clip(extension, &[&input[..], codec].concat())
}

/// Raw bytes of a picture of twelve patches (the last colour fills what is left), whose planes are halved so often; `bytes`
/// gives those of a plane's sample.
pub fn picture(colours: &[Colour], shifts: &[usize], bytes: impl Fn(usize, Colour) -> Vec<u8>) -> Vec<u8> {
    let mut raw = Vec::new();
    for (plane, shift) in shifts.iter().enumerate() {
        let (width, height) = (WIDTH >> shift, HEIGHT >> shift);
        for y in 0..height {
            for x in 0..width {
                let patch = patch_of(x, y, width, height).min(colours.len() - 1);
                raw.extend(bytes(plane, colours[patch]));
            }
        }
    }
    raw
}

/// Y'CbCr of a signal of red, green and blue, luma from 0 to 1 and chroma from -0.5 to 0.5.
pub fn components([red, green, blue]: Colour, (of_red, of_blue): (f64, f64)) -> Colour {
    let luma = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
    [luma, (blue - luma) / (2.0 * (1.0 - of_blue)), (red - luma) / (2.0 * (1.0 - of_red))]
}

/// A code of limited range.
pub fn limited(plane: usize, value: f64, bits: u32) -> f64 {
    let unit = f64::from(1_u32 << (bits - 8));
    if plane == 0 { (16.0 + 219.0 * value) * unit } else { (128.0 + 224.0 * value) * unit }
}

/// BT.2100 table 4: the signal of light in cd/m².
pub fn pq(nits: f64) -> f64 {
    let power = (nits / 10_000.0).powf(0.159_301_757_812_5);
    ((0.835_937_5 + 18.851_562_5 * power) / (1.0 + 18.6875 * power)).powf(78.843_75)
}

/// BT.2100 table 5: the signal of light in cd/m² on a display of 1000 cd/m².
fn hlg([red, green, blue]: Colour) -> Colour {
    let luminance = (0.2627 * red + 0.6780 * green + 0.0593 * blue) / 1000.0;
    let scene = |nits: f64| if luminance > 0.0 { nits / 1000.0 * luminance.powf(1.0 / 1.2 - 1.0) } else { 0.0 };
    [red, green, blue].map(scene).map(|scene| {
        if scene <= 1.0 / 12.0 { (3.0 * scene).sqrt() } else { 0.178_832_77 * (12.0 * scene - 0.284_668_92).ln() + 0.559_910_73 }
    })
}

/// BT.2087: light in the primaries of BT.709 in those of BT.2020.
pub fn in_bt2020([red, green, blue]: Colour) -> Colour {
    [
        0.6274 * red + 0.3293 * green + 0.0433 * blue,
        0.0691 * red + 0.9195 * green + 0.0114 * blue,
        0.0164 * red + 0.0880 * green + 0.8956 * blue,
    ]
}

/// The signal of a standard display whose white is 203 cd/m² (BT.1886, BT.2408).
pub fn standard(nits: Colour) -> Colour {
    nits.map(|nits| (nits / 203.0).clamp(0.0, 1.0).powf(1.0 / 2.4))
}

/// The mean of each patch's middle, for the three planes of a 4:2:0 picture.
pub fn patches(raw: &[u8], bytes: usize) -> Vec<Colour> {
    let (luma, chroma) = (WIDTH * HEIGHT, WIDTH * HEIGHT / 4);
    assert_eq!(raw.len(), (luma + 2 * chroma) * bytes, "one picture of {WIDTH} by {HEIGHT}");
    let sample = |plane: usize, x: usize, y: usize| {
        let at = match plane {
            0 => y * WIDTH + x,
            plane => luma + (plane - 1) * chroma + y / 2 * (WIDTH / 2) + x / 2,
        };
        if bytes == 1 { f64::from(raw[at]) } else { f64::from(u16::from_le_bytes([raw[2 * at], raw[2 * at + 1]])) }
    };
    let (wide, high) = (WIDTH / COLUMNS, HEIGHT / ROWS);
    (0..COLUMNS * ROWS)
        .map(|patch| {
            let (left, top) = (patch % COLUMNS * wide, patch / COLUMNS * high);
            [0, 1, 2].map(|plane| {
                let mut sum = 0.0;
                for y in top + high / 4..top + high * 3 / 4 {
                    for x in left + wide / 4..left + wide * 3 / 4 {
                        sum += sample(plane, x, y);
                    }
                }
                sum / (wide / 2 * high.div_ceil(2)) as f64
            })
        })
        .collect()
}

pub struct Shown {
    pub patches: Vec<Colour>,
    pub described: String,
    pub remarks: Vec<Remark>,
}

impl Shown {
    pub fn codes(&self) -> Vec<RemarkCode> {
        let late = [RemarkCode::NoAudio];
        self.remarks.iter().map(|remark| remark.code).filter(|code| !late.contains(code)).collect()
    }

    /// Colour description of the rendition as the decoder finds it.
    pub fn is_described(&self, wanted: &[&str]) {
        for line in wanted {
            assert!(self.described.lines().any(|told| told == *line), "{line} is missing in\n{}", self.described);
        }
    }
}

/// The largest standard rendition of an upload.
pub async fn shown(upload: PathBuf) -> Shown {
    let mut opened = Opened::new(&upload, &quick_policy()).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", upload.display()));
    let made = opened.make_all().await;
    let rendition = Rendition::new(&opened, TrackId::video(0), &made[&TrackId::video(0)]);
    rendition.prove(&opened.plan);
    Shown { patches: patches(&rendition.first_picture(), 1), described: rendition.described(), remarks: opened.remarks }
}

pub fn compare(what: &str, found: &[Colour], expected: &[Colour], scale: f64) {
    for (patch, (found, expected)) in found.iter().zip(expected).enumerate() {
        println!("{what}, patch {patch}: {found:.1?}, expected {expected:.1?}");
    }
    for (patch, (found, expected)) in found.iter().zip(expected).enumerate() {
        let well = found.iter().zip(expected).enumerate().all(|(plane, (found, expected))| {
            (found - expected).abs() <= scale * if plane == 0 { LUMA_APART_MAX } else { CHROMA_APART_MAX }
        });
        assert!(well, "{what}, patch {patch}: {found:.1?} and not {expected:.1?}");
    }
}

/// Codes of 8 bits, limited range, for signals of red, green and blue.
pub fn expected(signals: &[Colour], weights: (f64, f64)) -> Vec<Colour> {
    let code = |signal: &Colour| {
        let values = components(*signal, weights);
        [0, 1, 2].map(|plane| limited(plane, values[plane], 8))
    };
    signals.iter().map(code).collect()
}

pub const TAGS_709: [&str; 5] = ["pix_fmt=yuv420p", "color_range=tv", "color_space=bt709", "color_transfer=bt709", "color_primaries=bt709"];

/// Light in cd/m² of the primaries of BT.709: greys up to the knee of the curve, and colours as bright. None is at the very
/// edge of the gamut, where the rounding of the source's own codes is a large step of the signal.
pub const UNDER_THE_KNEE: [Colour; 12] = [
    [0.0, 0.0, 0.0],
    [0.5, 0.5, 0.5],
    [5.0, 5.0, 5.0],
    [26.0, 26.0, 26.0],
    [50.0, 50.0, 50.0],
    [88.0, 88.0, 88.0],
    [80.0, 2.0, 2.0],
    [2.0, 80.0, 2.0],
    [2.0, 2.0, 80.0],
    [80.0, 60.0, 45.0],
    [20.0, 30.0, 80.0],
    [10.0, 60.0, 30.0],
];

/// Ten-bit HDR film of light in the primaries of BT.2020.
pub fn hdr_film(nits: &[Colour], is_hlg: bool) -> PathBuf {
    let raw = picture(nits, &[0, 1, 1], |plane, light| {
        let signal = if is_hlg { hlg(light) } else { light.map(pq) };
        let code = limited(plane, components(signal, BT2020)[plane], 10).round() as u16;
        code.to_le_bytes().to_vec()
    });
    let transfer = if is_hlg { "arib-std-b67" } else { "smpte2084" };
    let display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)";
    let parameters = format!("lossless=1:log-level=none:master-display={display}:max-cll=1000,400");
    let codec = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", &parameters, "-color_range", "tv"];
    let colours = ["-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc"];
    film(&raw, "yuv420p10le", "mp4", &[&codec[..], &colours].concat())
}

#[tokio::test]
async fn high_dynamic_range_is_exact_below_the_knee() {
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    let expect = expected(&UNDER_THE_KNEE.map(standard), BT709);
    for is_hlg in [false, true] {
        let shown = shown(hdr_film(&nits, is_hlg)).await;
        compare(if is_hlg { "HLG" } else { "PQ" }, &shown.patches, &expect, 1.0);
        shown.is_described(&TAGS_709);
        assert_eq!(shown.codes(), [RemarkCode::HdrToneMapped]);
    }
}

#[tokio::test]
async fn reference_white_and_highlights_are_rolled_off() {
    let greys = [120.0, 203.0, 300.0, 500.0, 700.0, 1000.0];
    let mut nits: Vec<Colour> = greys.iter().map(|grey| [*grey; 3]).collect();
    // Red, green and blue of BT.2020, and a highlight with a colour.
    nits.extend([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0], [0.0, 0.0, 200.0], [1000.0, 800.0, 500.0], [10_000.0; 3], [0.0; 3]]);
    for is_hlg in [false, true] {
        let shown = shown(hdr_film(&nits[..10], is_hlg)).await;
        let what = if is_hlg { "HLG" } else { "PQ" };
        let luma: Vec<f64> = shown.patches.iter().map(|patch| (patch[0] - 16.0) / 219.0).collect();
        println!("{what}: {luma:.3?}");
        // Reference white at 90 %, the peak at 100 %, and what lies between is told apart up to where it is all but white.
        assert!((luma[1] - 0.90).abs() < 0.015 && (luma[5] - 1.0).abs() < 0.01, "{what}: {luma:.3?}");
        assert!(luma[..4].windows(2).all(|pair| pair[1] > pair[0] + 0.02), "{what}: {luma:.3?}");
        assert!(luma[3..6].windows(2).all(|pair| pair[1] >= pair[0]), "{what}: {luma:.3?}");
        for patch in &shown.patches[..6] {
            assert!((patch[1] - 128.0).abs() < 1.5 && (patch[2] - 128.0).abs() < 1.5, "{what}: grey became {patch:.1?}");
        }
        // The primaries of BT.2020 are those of BT.709 as far as that goes, at the level of reference white.
        let edge = luma[1];
        let primaries = [[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]];
        for (patch, expect) in shown.patches[6..9].iter().zip(expected(&primaries, BT709)) {
            let dominant = patch.iter().zip(&expect).all(|(found, expect)| (found - expect).abs() < 24.0);
            assert!(dominant, "{what}: {patch:.1?} and not about {expect:.1?}");
        }
        // A highlight keeps its hue: red over green over blue.
        let warm = &shown.patches[9];
        assert!(warm[1] < 122.0 && warm[2] > 130.0, "{what}: {warm:.1?}");
    }
}

#[tokio::test]
async fn high_dynamic_range_is_kept_when_asked_for() {
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    for (is_hlg, range, transfer) in [(false, VideoRange::Pq, "smpte2084"), (true, VideoRange::Hlg, "arib-std-b67")] {
        let mut opened = Opened::new(&hdr_film(&nits, is_hlg), &hdr_policy()).await.expect("opened");
        let at = opened.plan.video.iter().position(|track| track.range == range).expect("a rendition of high dynamic range");
        assert!(at > 0 && opened.plan.video[0].range == VideoRange::Sdr);
        let made = opened.make_all().await;
        let track = TrackId::video(at as u8);
        let rendition = Rendition::new(&opened, track, &made[&track]);
        rendition.prove(&opened.plan);
        let found = patches(&rendition.first_picture(), 2);
        let expect: Vec<Colour> = nits
            .iter()
            .map(|light| {
                let values = components(if is_hlg { hlg(*light) } else { light.map(pq) }, BT2020);
                [0, 1, 2].map(|plane| limited(plane, values[plane], 10))
            })
            .collect();
        compare(transfer, &found, &expect, 4.0);
        let told = Shown { patches: found, described: rendition.described(), remarks: opened.remarks.clone() };
        let transfer = format!("color_transfer={transfer}");
        told.is_described(&["codec_tag_string=hvc1", "profile=Main 10", "pix_fmt=yuv420p10le", "color_range=tv", "color_space=bt2020nc"]);
        told.is_described(&[&transfer, "color_primaries=bt2020", "red_x=34000/50000", "max_luminance=10000000/10000", "max_content=1000"]);
        assert_eq!(told.codes(), [RemarkCode::HdrToneMapped, RemarkCode::HdrKept]);
        let codec = headwater::cmaf::codec_string_of_init(&opened.init(track)).expect("a codec string");
        assert!(codec.starts_with("hvc1.2.4.L"), "{codec}");
    }
}

/// Signals of red, green and blue that standard sources are tried with.
const SIGNALS: [Colour; 12] = [
    [0.0, 0.0, 0.0],
    [1.0, 1.0, 1.0],
    [0.5, 0.5, 0.5],
    [0.1, 0.1, 0.1],
    [0.9, 0.9, 0.9],
    [1.0, 0.1, 0.1],
    [0.1, 1.0, 0.1],
    [0.1, 0.1, 1.0],
    [0.8, 0.6, 0.5],
    [0.2, 0.3, 0.8],
    [0.9, 0.9, 0.1],
    [0.1, 0.6, 0.6],
];

const LOSSLESS: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"];

#[tokio::test]
async fn full_range_becomes_limited() {
    let full = |bits: u32| {
        move |plane: usize, signal: Colour| {
            let value = components(signal, BT709)[plane] + if plane == 0 { 0.0 } else { 0.5 };
            let code = (value * f64::from((1_u32 << bits) - 1)).round().min(f64::from((1_u32 << bits) - 1)) as u16;
            if bits == 8 { vec![code as u8] } else { code.to_le_bytes().to_vec() }
        }
    };
    let tags = ["-color_range", "pc", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"];
    let expect = expected(&SIGNALS, BT709);
    for (format, shifts, bits) in [("yuvj420p", [0, 1, 1], 8), ("yuv444p", [0, 0, 0], 8), ("yuv420p10le", [0, 1, 1], 10)] {
        let raw = picture(&SIGNALS, &shifts, full(bits));
        let shown = shown(film(&raw, format, "mp4", &[&LOSSLESS[..], &tags].concat())).await;
        compare(format, &shown.patches, &expect, 1.0);
        shown.is_described(&TAGS_709);
        assert_eq!(shown.codes(), [RemarkCode::ColourConverted], "{format}");
    }
}

#[tokio::test]
async fn red_green_and_blue_become_bt709() {
    let expect = expected(&SIGNALS, BT709);
    let raw = picture(&SIGNALS, &[0], |_, signal| signal.map(|value| (value * 255.0).round() as u8).to_vec());
    for (extension, codec) in [
        ("mkv", &["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"][..]),
        ("mov", &["-c:v", "png"]),
        ("mov", &["-c:v", "qtrle"]),
        ("mkv", &["-c:v", "ffv1", "-pix_fmt", "gbrp10le"]),
    ] {
        let shown = shown(film(&raw, "rgb24", extension, codec)).await;
        compare(codec[1], &shown.patches, &expect, 1.0);
        shown.is_described(&TAGS_709);
        assert_eq!(shown.codes(), [RemarkCode::ColourConverted], "{}", codec[1]);
    }
}

#[tokio::test]
async fn bt601_stays_what_it_is() {
    let raw = picture(&SIGNALS, &[0, 1, 1], |plane, signal| vec![limited(plane, components(signal, BT601)[plane], 8).round() as u8]);
    let expect = expected(&SIGNALS, BT601);
    let tags = ["-color_primaries", "smpte170m", "-color_trc", "smpte170m", "-colorspace", "smpte170m"];
    let told = ["color_range=tv", "color_space=smpte170m", "color_transfer=smpte170m", "color_primaries=smpte170m"];
    let shown_tagged = shown(film(&raw, "yuv420p", "mp4", &[&LOSSLESS[..], &tags].concat())).await;
    compare("BT.601", &shown_tagged.patches, &expect, 1.0);
    shown_tagged.is_described(&told);
    assert_eq!(shown_tagged.codes(), []);
    // Without a word about colour, so few lines mean the same.
    let shown_untagged = shown(film(&raw, "yuv420p", "mkv", &LOSSLESS)).await;
    compare("untagged", &shown_untagged.patches, &expect, 1.0);
    shown_untagged.is_described(&told);
    assert_eq!(shown_untagged.codes(), [RemarkCode::ColourAssumed]);
}

#[tokio::test]
async fn a_wide_gamut_becomes_bt709() {
    let light = SIGNALS.map(|signal| signal.map(|value: f64| value.powf(2.4)));
    let raw = picture(&light, &[0, 0, 0], |plane, light| {
        let signal = in_bt2020(light).map(|value| value.powf(1.0 / 2.4));
        (limited(plane, components(signal, BT2020)[plane], 10).round() as u16).to_le_bytes().to_vec()
    });
    for transfer in ["bt709", "bt2020-10"] {
        let tags = ["-color_range", "tv", "-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc"];
        for stored in ["yuv444p10le", "yuv422p10le"] {
            let codec = [&LOSSLESS[..], &tags, &["-pix_fmt", stored]].concat();
            let shown = shown(film(&raw, "yuv444p10le", "mp4", &codec)).await;
            compare(&format!("{transfer} {stored}"), &shown.patches, &expected(&SIGNALS, BT709), 1.0);
            shown.is_described(&TAGS_709);
            assert_eq!(shown.codes(), [RemarkCode::ColourConverted]);
        }
    }
}

#[tokio::test]
async fn transparency_is_laid_over_black() {
    let opacities = [1.0, 1.0, 0.5, 0.5, 0.0, 0.0, 0.25, 0.75, 1.0, 0.5, 0.25, 0.0];
    let colours: Vec<Colour> = SIGNALS.iter().enumerate().map(|(index, signal)| [signal[0], signal[1], index as f64]).collect();
    let raw = picture(&colours, &[0], |_, colour| {
        let index = colour[2] as usize;
        let [red, green, blue] = SIGNALS[index].map(|value| (value * 255.0).round() as u8);
        vec![red, green, blue, (opacities[index] * 255.0_f64).round() as u8]
    });
    let over_black: Vec<Colour> = SIGNALS.iter().zip(opacities).map(|(signal, opacity)| signal.map(|value| value * opacity)).collect();
    for (extension, codec, weights) in [
        ("mov", &["-c:v", "png"][..], BT709),
        ("mov", &["-c:v", "qtrle"], BT709),
        ("mov", &["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le", "-alpha_bits", "16", "-qscale:v", "2"], BT601),
        (
            "webm",
            &["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "4", "-b:v", "0", "-cpu-used", "8", "-deadline", "realtime"],
            BT601,
        ),
    ] {
        let shown = shown(film(&raw, "rgba", extension, codec)).await;
        compare(codec[1], &shown.patches, &expected(&over_black, weights), 1.5);
        assert!(shown.codes().contains(&RemarkCode::AlphaFlattened), "{}: {:?}", codec[1], shown.codes());
    }
}

#[tokio::test]
async fn other_samplings_become_420() {
    let signals = SIGNALS;
    for (format, shift_bits) in [("yuv444p", 8), ("yuv444p10le", 10)] {
        let raw = picture(&signals, &[0, 0, 0], |plane, signal| {
            let code = limited(plane, components(signal, BT709)[plane], shift_bits).round() as u16;
            if shift_bits == 8 { vec![code as u8] } else { code.to_le_bytes().to_vec() }
        });
        let tags = ["-color_range", "tv", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"];
        let whole = film(&raw, format, "mkv", &[&LOSSLESS[..], &tags].concat());
        let shown_whole = shown(whole).await;
        compare(format, &shown_whole.patches, &expected(&signals, BT709), 1.0);
        assert_eq!(shown_whole.codes(), [], "{format}");
        // The same through 4:2:2.
        let halved = if shift_bits == 8 { "yuv422p" } else { "yuv422p10le" };
        let shown_half = shown(film(&raw, format, "mkv", &[&LOSSLESS[..], &tags, &["-pix_fmt", halved]].concat())).await;
        compare(halved, &shown_half.patches, &expected(&signals, BT709), 1.0);
    }
}

/// A palette comes once, with the first packet, and holds for all that follow.
#[tokio::test]
async fn colours_by_number_are_those_of_the_palette() {
    let source = "testsrc2=s=160x96:r=5:d=12,split[a][b];[a]palettegen[palette];[b][palette]paletteuse";
    for extension in ["avi", "mov", "nut"] {
        let path = clip(extension, &["-f", "lavfi", "-i", source, "-c:v", "rawvideo", "-pix_fmt", "pal8"]);
        let mut opened = Opened::new(&path, &quick_policy()).await.expect("opened");
        let made = opened.make_all().await;
        let track = TrackId::video(0);
        let bright = Rendition::new(&opened, track, &made[&track]).luma();
        assert_eq!(bright.len(), 60);
        assert!(bright.iter().all(|luma| (90.0..170.0).contains(luma)), "{extension}: {bright:?}");
        let (last, all) = (made[&track].last().expect("a segment"), &opened);
        let mut other = Opened::again(&path, &all.facts, &all.plan).await;
        assert!(other.worker.make(last.number, &[track]).await.expect("made") == std::slice::from_ref(last), "{extension}: from its end");
    }
}
