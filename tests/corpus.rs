//! Every real upload that the environment names (`HEADWATER_TEST_MEDIA`, a folder with a `MANIFEST.tsv`): what should become
//! a title does, every segment of it; what should not is refused with a fitting word; and nothing hangs or crashes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater::title::{ProblemCode, TrackKind};
use headwater::worker::Failure;

use crate::clips::uploads;
use crate::harness::{Opened, copying, policy};
use crate::rendition::Rendition;

/// The code that each file is refused with.
const REFUSALS: [(&str, ProblemCode); 21] = [
    ("audiobook_moov_only.m4b", ProblemCode::NoSamples),
    ("corrupt_stsc_stco.mp4", ProblemCode::Corrupt),
    ("duration_544_years.webm", ProblemCode::NoSamples),
    ("encrypted_cenc_22ch.mp4", ProblemCode::Encrypted),
    ("svg_named.mp4", ProblemCode::StillImage),
    ("png_named.mp4", ProblemCode::StillImage),
    ("annex_pointer_named.mov", ProblemCode::NotMedia),
    ("subs_bom.srt", ProblemCode::SubtitleFile),
    ("attack_hls_file_url.mp4", ProblemCode::Playlist),
    ("attack_hls_master_http.mov", ProblemCode::Playlist),
    ("attack_ffconcat_local.mkv", ProblemCode::Playlist),
    ("attack_sdp_rtp.mp4", ProblemCode::Playlist),
    ("attack_dash_mpd_file.mp4", ProblemCode::Playlist),
    ("attack_ffconcat_sibling.mp4", ProblemCode::Playlist),
    ("attack_hls_sibling.mp4", ProblemCode::Playlist),
    ("zero_bytes.mp4", ProblemCode::EmptyFile),
    ("holiday_notes.mp4", ProblemCode::NotMedia),
    ("archive_named.mov", ProblemCode::Archive),
    ("random_64k.ts", ProblemCode::NotMedia),
    ("truncated_no_moov_1mb.mp4", ProblemCode::IndexMissing),
    ("truncated_half_moov_first.mp4", ProblemCode::Corrupt),
];

const REFUSAL_MAX: Duration = Duration::from_secs(10);

/// What is asked of a row, and of its tracks.
struct Row {
    name: String,
    expect: String,
}

fn rows(folder: &Path) -> Vec<Row> {
    let text = fs::read_to_string(folder.join("MANIFEST.tsv")).expect("a manifest");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().expect("column names");
    let column = |name: &str| head.iter().position(|column| *column == name).expect("the column");
    let (name, expect) = (column("file"), column("expect"));
    lines.map(|row| Row { name: row[name].to_owned(), expect: row[expect].to_owned() }).collect()
}

#[tokio::test]
async fn every_upload_comes_to_its_end() {
    let Some(folder) = uploads() else { return };
    let rows = rows(&folder);
    assert!(!rows.is_empty());
    let mut faults = Vec::new();
    for row in rows {
        let start = Instant::now();
        let opened = Opened::new(&folder.join(&row.name), &copying(policy())).await;
        let told = match (row.expect.as_str(), opened) {
            ("ok" | "ok-audio" | "either", Ok(opened)) => made(opened, &row.expect).await,
            ("reject" | "either", Err(Failure::Rejected(problem))) => {
                let wanted = REFUSALS.iter().find(|(name, _)| *name == row.name).map(|(_, code)| *code);
                if wanted != Some(problem.code) {
                    faults.push(format!("{}: {:?} instead of {wanted:?}", row.name, problem.code));
                }
                if start.elapsed() > REFUSAL_MAX {
                    faults.push(format!("{}: refused only after {:?}", row.name, start.elapsed()));
                }
                format!("refused: {}", problem.code.as_str())
            }
            (expect, Ok(_)) => {
                faults.push(format!("{}: {expect} expected, and it became a title", row.name));
                "a title".to_owned()
            }
            (expect, Err(failure)) => {
                faults.push(format!("{}: {expect} expected: {failure:?}", row.name));
                failure.to_string()
            }
        };
        println!("{:34} {:8} {:6.2} s  {told}", row.name, row.expect, start.elapsed().as_secs_f64());
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Makes all segments and reads every rendition back.
async fn made(mut opened: Opened, expect: &str) -> String {
    assert_eq!(opened.plan.video.is_empty(), expect == "ok-audio");
    let made = opened.make_all().await;
    let mut told = format!("{} frames at {}", opened.plan.timeline.frame_count(), opened.plan.timeline.frame_rate());
    for (track, segments) in &made {
        Rendition::new(&opened, *track, segments).prove(&opened.plan);
        if track.kind == TrackKind::Audio || track.index == 0 {
            let concealed: u64 = segments.iter().map(|segment| segment.concealed).sum();
            let dropped: u64 = segments.iter().map(|segment| segment.dropped).sum();
            told += &format!(", {track}: {concealed} concealed {dropped} dropped");
        }
    }
    told
}
