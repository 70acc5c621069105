//! Dolby Vision: colours that only its metadata tells (profile 5), held against the same patches by the standards; and what is
//! taken by its base layer, or not at all.

use std::path::PathBuf;

use headwater::title::{DolbyVision, ProblemCode, RemarkCode, TrackId, VideoRange};
use headwater::worker::Failure;

use crate::colour::{
    BT709, BT2020, Colour, HEIGHT, TAGS_709, UNDER_THE_KNEE, WIDTH, compare, components, expected, hdr_film, in_bt2020, limited, patches,
    picture, pq, shown, standard,
};
use crate::harness::{Opened, hdr_policy, quick_policy};
use crate::rendition::Rendition;
use crate::rpu::{self, Curve, Piece};

/// Pictures of a film: the second segment of the quick policy begins in the middle of them.
const PICTURES: usize = 60;
/// So many codes of 8 bits of light lie between the two metadata of a test, at least.
const TELLING: f64 = 20.0;

/// H.273 8.3, MatrixCoefficients 15: light in cd/m² of the primaries of BT.2020 as IPT-PQ-C2, all from 0 to 1.
fn ipt([red, green, blue]: Colour) -> Colour {
    // BT.2100 table 7, which has a crosstalk of 4 % where this has one of 2 %.
    let of = |factors: [f64; 3]| (factors[0] * red + factors[1] * green + factors[2] * blue) / 4096.0;
    let lms = [of([1688.0, 2146.0, 262.0]), of([683.0, 2951.0, 462.0]), of([99.0, 309.0, 3688.0])];
    let sum: f64 = lms.iter().sum();
    let cones = lms.map(|value| (value - 0.04 * sum) / 0.88);
    let [l, m, s] = cones.map(|value| pq((0.94 * value + 0.02 * sum).max(0.0)));
    [
        (1638.0 * l + 1638.0 * m + 820.0 * s) / 4096.0,
        0.5 + (18_248.0 * l - 19_870.0 * m + 1622.0 * s) / 4096.0,
        0.5 + (3300.0 * l + 1463.0 * m - 4763.0 * s) / 4096.0,
    ]
}

/// The codes that come nearest to a colour by the curves. Of the colour differences, the second depends on no other component.
fn codes(curves: &[Curve; 3], colour: Colour) -> [u16; 3] {
    let mut codes = [512; 3];
    for component in [0, 2, 1] {
        let apart = |code: u16| {
            let mut tried = codes;
            tried[component] = code;
            (curves[component].at(component, tried) - colour[component]).abs()
        };
        codes[component] = (0..1024).min_by(|one, other| apart(*one).total_cmp(&apart(*other))).expect("a code");
    }
    codes
}

/// A byte stream of patches of that light, as the curves want it stored.
fn stored(curves: &[Curve; 3], nits: &[Colour]) -> PathBuf {
    let colours: Vec<Colour> = nits.iter().map(|light| codes(curves, ipt(*light)).map(f64::from)).collect();
    let raw = picture(&colours, &[0, 1, 1], |plane, colour| (colour[plane] as u16).to_le_bytes().to_vec());
    rpu::stream(&raw, &format!("{WIDTH}x{HEIGHT}"), PICTURES)
}

fn identity() -> [Curve; 3] {
    [(); 3].map(|()| Curve::identity())
}

/// Luma bent in three pieces, colour differences stretched.
fn bent() -> [Curve; 3] {
    let luma = Curve {
        pivots: vec![0, 300, 700, 1019],
        pieces: vec![
            Piece::Polynomial(vec![0.0, 0.7, 0.23]),
            Piece::Polynomial(vec![0.02, 0.7]),
            Piece::Polynomial(vec![-0.15, 1.05, -0.12]),
        ],
    };
    let stretched = |by: f64| Curve { pivots: vec![0, 1023], pieces: vec![Piece::Polynomial(vec![0.5 - by / 2.0, by])] };
    [luma, stretched(0.6), stretched(0.8)]
}

/// The first colour difference depends on all components.
fn mixed() -> [Curve; 3] {
    let first = [0.05, 0.6, -0.04, 0.2, 0.01, 0.08, -0.03];
    let rest = [[0.02, 0.1, 0.01, -0.05, 0.02, 0.0, 0.01], [0.0, 0.03, -0.01, 0.0, 0.01, 0.02, 0.04]];
    let [luma, _, cr] = bent();
    [luma, Curve { pivots: vec![0, 1023], pieces: vec![Piece::Mixed(0.09, [&[first][..], &rest].concat())] }, cr]
}

const PROFILE_5: Option<DolbyVision> = Some(DolbyVision { profile: 5, compatibility: 0, with_metadata: true });

#[tokio::test]
async fn metadata_makes_colours_of_pictures_without_a_base() {
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    let expect = expected(&UNDER_THE_KNEE.map(standard), BT709);
    let hdr10 = shown(hdr_film(&nits, false)).await;
    for (what, curves) in [("identity", identity()), ("polynomials", bent()), ("mixed", mixed())] {
        let unit = rpu::unit(&curves);
        let film = rpu::with_metadata(&stored(&curves, &nits), "mp4", |_| Some(unit.clone()));
        let told = rpu::told(&film);
        for line in ["vdr_rpu_profile=0", "bl_video_full_range_flag=1", "source_max_pq=3079"] {
            assert!(told.contains(line), "{what}: {line} is missing in\n{told}");
        }
        for (declared, film) in [(false, film.clone()), (true, rpu::declared(&film, 5, 0))] {
            let opened = Opened::new(&film, &quick_policy()).await.expect("opened");
            assert_eq!(opened.facts.videos().next().expect("a picture").dolby_vision, PROFILE_5, "{what}, declared: {declared}");
            let shown = shown(film).await;
            compare(what, &shown.patches, &expect, 1.0);
            compare(&format!("{what} against HDR10"), &shown.patches, &hdr10.patches, 1.0);
            shown.is_described(&TAGS_709);
            assert_eq!(shown.codes(), [RemarkCode::HdrToneMapped]);
            assert!(shown.remarks.iter().any(|remark| remark.message.contains("Dolby Vision of profile 5")), "{:?}", shown.remarks);
        }
    }
}

#[tokio::test]
async fn a_stream_of_bytes_tells_it_too() {
    let unit = rpu::unit(&identity());
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    for extension in ["mkv", "ts"] {
        let shown = shown(rpu::with_metadata(&stored(&identity(), &nits), extension, |_| Some(unit.clone()))).await;
        compare(extension, &shown.patches, &expected(&UNDER_THE_KNEE.map(standard), BT709), 1.0);
    }
}

#[tokio::test]
async fn high_dynamic_range_is_kept_as_hdr10() {
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    for (what, curves) in [("identity", identity()), ("mixed", mixed())] {
        let unit = rpu::unit(&curves);
        let film = rpu::with_metadata(&stored(&curves, &nits), "mp4", |_| Some(unit.clone()));
        let mut opened = Opened::new(&film, &hdr_policy()).await.expect("opened");
        let codes: Vec<RemarkCode> = opened.remarks.iter().map(|remark| remark.code).collect();
        assert!(codes.contains(&RemarkCode::HdrKept) && codes.contains(&RemarkCode::HdrToneMapped), "{codes:?}");
        let at = opened.plan.video.iter().position(|track| track.range == VideoRange::Pq).expect("a rendition of high dynamic range");
        let track = TrackId::video(at as u8);
        let made = opened.make_all().await;
        let rendition = Rendition::new(&opened, track, &made[&track]);
        rendition.prove(&opened.plan);
        let expect: Vec<Colour> = nits
            .iter()
            .map(|light| {
                let values = components(light.map(pq), BT2020);
                [0, 1, 2].map(|plane| limited(plane, values[plane], 10))
            })
            .collect();
        compare(what, &patches(&rendition.first_picture(), 2), &expect, 4.0);
        for line in ["pix_fmt=yuv420p10le", "color_range=tv", "color_space=bt2020nc", "color_transfer=smpte2084", "color_primaries=bt2020"]
        {
            assert!(rendition.described().lines().any(|told| told == line), "{line} is missing in\n{}", rendition.described());
        }
    }
}

/// Two kinds of metadata and none by turns: each picture goes by its own, whatever came before it, and so every worker makes
/// the same of it.
#[tokio::test]
async fn each_picture_goes_by_its_own_metadata() {
    let nits = UNDER_THE_KNEE.map(in_bt2020);
    let (bent, identity) = (rpu::unit(&bent()), rpu::unit(&identity()));
    let stream = stored(&self::bent(), &nits);
    // The second segment begins with picture 38; the key frame before it still has some.
    let lost = rpu::with_metadata(&stream, "mp4", |picture| (picture < 35).then(|| bent.clone()));
    let plain = rpu::with_metadata(&stream, "mp4", |_| Some(identity.clone()));
    let by_turns = rpu::with_metadata(&stream, "mp4", |picture| match picture % 3 {
        0 => Some(bent.clone()),
        1 => Some(identity.clone()),
        _ => None,
    });
    let mut seen = Vec::new();
    for film in [&lost, &plain, &by_turns] {
        let mut opened = Opened::new(film, &quick_policy()).await.expect("opened");
        assert_eq!(opened.facts.videos().next().expect("a picture").dolby_vision, PROFILE_5);
        let track = TrackId::video(0);
        let made = opened.make_all().await.remove(&track).expect("a picture");
        let first = patches(&Rendition::new(&opened, track, &made[..1]).first_picture(), 1);
        let second = patches(&Rendition::new(&opened, track, &made[1..]).first_picture(), 1);
        let bright = Rendition::new(&opened, track, &made).luma();
        let mut other = Opened::again(film, &opened.facts, &opened.plan).await;
        assert!(other.worker.make(made[1].number, &[track]).await.expect("made") == made[1..2], "made first by another worker");
        seen.push((first, second, bright));
    }
    let expect = expected(&UNDER_THE_KNEE.map(standard), BT709);
    let [(first, second, _), (plain_first, plain_second, _), (turn_first, _, turns)] = &seen[..] else { panic!("three films") };
    compare("with metadata", first, &expect, 1.0);
    compare("by turns", turn_first, &expect, 1.0);
    compare("without", second, plain_second, 0.5);
    assert!((plain_first[5][0] - expect[5][0]).abs() > TELLING, "the two differ: {:?}", plain_first[5]);
    let steps = turns.windows(2).filter(|pair| f64::from((pair[0] - pair[1]).abs()) > TELLING / 4.0).count();
    assert!(steps >= PICTURES / 2, "{steps} steps in {turns:.1?}");
}

#[tokio::test]
async fn the_peak_it_was_mastered_for_is_believed() {
    let white = [[203.0; 3]; 12];
    let stream = stored(&identity(), &white);
    let mut bright = Vec::new();
    // 1000 cd/m², and 203.
    for source_max_pq in [3079, 2378] {
        let unit = rpu::mastered(&identity(), source_max_pq);
        bright.push((shown(rpu::with_metadata(&stream, "mp4", |_| Some(unit.clone()))).await.patches[0][0] - 16.0) / 219.0);
    }
    assert!((bright[0] - 0.90).abs() < 0.015 && (bright[1] - 1.0).abs() < 0.01, "{bright:.3?}");
}

/// Pictures that would need metadata are not shown without any; where the first ones lack it, it is looked for.
#[tokio::test]
async fn metadata_is_looked_for_before_pictures_are_refused() {
    let unit = rpu::unit(&identity());
    let stream = stored(&identity(), &UNDER_THE_KNEE.map(in_bt2020));
    let late = rpu::declared(&rpu::with_metadata(&stream, "mp4", |picture| (picture > 25).then(|| unit.clone())), 5, 0);
    let opened = Opened::new(&late, &quick_policy()).await.expect("taken");
    assert_eq!(opened.facts.videos().next().expect("a picture").dolby_vision, PROFILE_5);
    let wrong = rpu::declared(&rpu::with_metadata(&stream, "mp4", |_| Some(unit.clone())), 8, 1);
    let opened = Opened::new(&wrong, &quick_policy()).await.expect("taken");
    assert_eq!(opened.facts.videos().next().expect("a picture").dolby_vision, PROFILE_5, "whatever the record says");
    let without = rpu::declared(&rpu::with_metadata(&stream, "mp4", |_| None), 5, 0);
    match Opened::new(&without, &quick_policy()).await.map(|_| ()) {
        Err(Failure::Rejected(problem)) => {
            assert_eq!(problem.code, ProblemCode::UnsupportedCodec);
            assert!(problem.detail.expect("a detail").contains("Dolby Vision of profile 5"));
        }
        other => panic!("{other:?}"),
    }
}

/// What has a base is shown by that, even where it declares metadata that is not there.
#[tokio::test]
async fn a_base_layer_is_enough() {
    let film = rpu::declared(&hdr_film(&UNDER_THE_KNEE.map(in_bt2020), false), 8, 1);
    let shown = shown(film).await;
    compare("by its base", &shown.patches, &expected(&UNDER_THE_KNEE.map(standard), BT709), 1.0);
    assert!(shown.remarks.iter().any(|remark| remark.message.ends_with("What Dolby Vision adds was left out.")), "{:?}", shown.remarks);
}
