//! Passes: which a title needs, and running one. What a worker says of a whole title is checked, stored and recorded.

use crate::catalogue::{self, StillRecord, TitleRecord};
use crate::playlist;
use crate::store::{self, Key};
use crate::title::{
    ContentHash, Generation, Plan, Remark, RemarkCode, SourceFacts, Still, Storyboard, StreamFacts, TitleId, jpeg_size, loudness_remarks,
    poster_size,
};
use crate::worker::protocol::MadeStills;
use crate::worker::{Failure, Worker};

use super::board::Pass;
use super::keep::ensure_room;
use super::{Shared, prepare};

/// Why a pass came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker ended badly.
    #[error(transparent)]
    Worker(#[from] Failure),
    /// What the worker made is not what was asked for.
    #[error("{0}")]
    BrokenPromise(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
}

impl From<prepare::Error> for Error {
    fn from(error: prepare::Error) -> Self {
        match error {
            prepare::Error::Worker(failure) => Self::Worker(failure),
            prepare::Error::Store(error) => Self::Store(error),
            prepare::Error::Catalogue(error) => Self::Catalogue(error),
            prepare::Error::Packaging(error) => Self::BrokenPromise(error.to_string()),
        }
    }
}

/// The passes that a title still needs.
pub fn needed(title: &TitleRecord, plan: &Plan, facts: &SourceFacts) -> Vec<Pass> {
    let has_cover = facts.streams.iter().any(|stream| matches!(stream, StreamFacts::Other(other) if other.kind == "picture"));
    let can_be_seen = !plan.video.is_empty() || has_cover;
    let seen = title.has_poster || title.has_storyboard;
    let stills = (can_be_seen && !seen).then_some(Pass::Stills);
    let loudness = (!plan.audio.is_empty() && !title.has_loudness).then_some(Pass::Loudness);
    stills.into_iter().chain(loudness).collect()
}

/// Runs a pass with a worker that has the plan open, and records what comes of it.
///
/// # Errors
/// [`Error`]; nothing is recorded then.
pub async fn run(shared: &Shared, worker: &mut Worker, id: TitleId, generation: Generation, plan: &Plan, pass: Pass) -> Result<(), Error> {
    match pass {
        Pass::Stills => keep_stills(shared, id, generation, plan, worker.look().await?).await,
        Pass::Loudness => {
            let heard = prepare::listen(worker, plan).await?;
            let remarks = loudness_remarks(&heard, &plan.audio);
            shared.catalogue.set_loudness(id, generation, &heard, &remarks, shared.now_ms()).await?;
            Ok(())
        }
    }
}

async fn keep_stills(shared: &Shared, id: TitleId, generation: Generation, plan: &Plan, made: MadeStills) -> Result<(), Error> {
    let remarks = remarks(&made, plan.timeline.duration_ms());
    let files = files(plan, made).map_err(Error::BrokenPromise)?;
    let needed_bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    ensure_room(&shared.store, needed_bytes, shared.settings().free_min_bytes).await?;
    let mut rows = Vec::with_capacity(files.len());
    for (still, bytes) in files {
        let row = StillRecord { still, hash: ContentHash::of(&bytes), bytes: bytes.len() as u64 };
        shared.store.put(Key::Object(id, row.hash), bytes).await?;
        rows.push(row);
    }
    shared.catalogue.keep_stills(id, generation, &rows, &remarks, shared.now_ms()).await?;
    Ok(())
}

/// The files of the stills, each checked to be a JPEG of the size that is told of it, and the index made for them.
fn files(plan: &Plan, made: MadeStills) -> Result<Vec<(Still, bytes::Bytes)>, String> {
    let mut files = Vec::with_capacity(made.sheets.len() + 2);
    if let Some(poster) = made.poster {
        let size =
            jpeg_size(&poster).filter(|(width, height)| *width > 0 && *height > 0 && poster_size(*width, *height) == (*width, *height));
        size.ok_or("the poster is no JPEG of a poster's size")?;
        files.push((Still::Poster, poster));
    }
    let board = Storyboard::of(plan);
    let sheets = board.map_or(0, |board| usize::from(board.sheets()));
    if made.sheets.len() != sheets && !made.sheets.is_empty() {
        return Err(format!("the storyboard has {} sheets, planned are {sheets}", made.sheets.len()));
    }
    if let (Some(board), false) = (board, made.sheets.is_empty()) {
        for (sheet, bytes) in (0..).zip(made.sheets) {
            if jpeg_size(&bytes) != Some(board.sheet_size(sheet)) {
                return Err(format!("sheet {sheet} of the storyboard is no JPEG of the planned size"));
            }
            files.push((Still::Sprite(sheet), bytes));
        }
        files.push((Still::Storyboard, playlist::storyboard(&board).into()));
    }
    Ok(files)
}

/// So little after the black is no picture to take a poster from.
const BLACK_REST_MS: u64 = 200;

/// What is worth saying of stills of a title that lasts `duration_ms`.
fn remarks(made: &MadeStills, duration_ms: u64) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if made.poster_is_cover && made.poster.is_some() {
        remarks.push(Remark::new(RemarkCode::CoverUsed, "A picture is attached to the sound. It became the poster."));
    }
    if made.black_start_ms > 0 {
        let tenths = made.black_start_ms / 100;
        // A poster from later on cannot be where nothing comes later.
        let poster = if made.black_start_ms + BLACK_REST_MS >= duration_ms { "" } else { "; the poster is from later on" };
        let message = format!("The title begins with {}.{} s of black. It was kept{poster}.", tenths / 10, tenths % 10);
        remarks.push(Remark::new(RemarkCode::BlackStart, message));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::catalogue::sample as rows;
    use crate::title::{OtherStream, sample};

    /// The least that has a size.
    fn jpeg((width, height): (u32, u32)) -> Bytes {
        let (width, height) = ((width as u16).to_be_bytes(), (height as u16).to_be_bytes());
        let size = [8, height[0], height[1], width[0], width[1], 1, 1, 17, 0];
        Bytes::from([b"\xff\xd8\xff\xc0\0\x0b".as_slice(), &size, b"\xff\xd9"].concat())
    }

    fn made() -> MadeStills {
        // 104 s are 52 tiles of two seconds: two sheets of 25 and one of 2.
        MadeStills {
            poster: Some(jpeg((1280, 720))),
            poster_is_cover: false,
            sheets: vec![jpeg((800, 450)), jpeg((800, 450)), jpeg((800, 90))],
            black_start_ms: 0,
        }
    }

    #[test]
    fn files_are_what_the_index_tells_of_them() {
        let plan = sample::plan((25, 1), 2600, 4000);
        let names: Vec<String> = files(&plan, made()).expect("files").iter().map(|(still, _)| still.to_string()).collect();
        assert_eq!(names, ["poster.jpg", "sprite-0.jpg", "sprite-1.jpg", "sprite-2.jpg", "storyboard.vtt"]);
        let broken: [fn(&mut MadeStills); 5] = [
            |made| made.sheets[2] = jpeg((800, 450)),
            |made| made.sheets[0] = Bytes::from_static(b"<html>"),
            |made| drop(made.sheets.pop()),
            |made| made.poster = Some(jpeg((1920, 1080))),
            |made| made.poster = Some(Bytes::from_static(b"\x89PNG")),
        ];
        for (index, breaks) in broken.iter().enumerate() {
            let mut broken = made();
            breaks(&mut broken);
            assert!(files(&plan, broken).is_err(), "{index}");
        }
        let nothing = MadeStills { poster: None, poster_is_cover: false, sheets: Vec::new(), black_start_ms: 0 };
        assert_eq!(files(&plan, nothing), Ok(Vec::new()));
    }

    #[test]
    fn what_was_found_is_told() {
        assert_eq!(remarks(&made(), 9000), []);
        let told = remarks(&MadeStills { poster_is_cover: true, black_start_ms: 2340, ..made() }, 9000);
        assert_eq!(told.iter().map(|remark| remark.code).collect::<Vec<_>>(), [RemarkCode::CoverUsed, RemarkCode::BlackStart]);
        assert_eq!(told[1].message, "The title begins with 2.3 s of black. It was kept; the poster is from later on.");
        let told = remarks(&MadeStills { black_start_ms: 6000, ..made() }, 6000);
        assert_eq!(told[0].message, "The title begins with 6.0 s of black. It was kept.", "nothing comes later");
    }

    #[test]
    fn a_pass_is_needed_where_there_is_something_to_see() {
        let mut title = TitleRecord {
            id: rows::title_id(1),
            name: "film".into(),
            state: crate::title::TitleState::Processing,
            generation: Generation::FIRST,
            ledger: Generation::FIRST,
            has_loudness: false,
            created_at_ms: 0,
            updated_at_ms: 0,
            revision: 0,
            source: None,
            problem: None,
            remarks: Vec::new(),
            segments_done: 0,
            segments_total: 9,
            has_poster: false,
            has_storyboard: false,
        };
        let (mut plan, mut facts) = (rows::plan(), rows::facts());
        assert_eq!(needed(&title, &plan, &facts), [Pass::Stills, Pass::Loudness]);
        title.has_loudness = true;
        assert_eq!(needed(&title, &plan, &facts), [Pass::Stills]);
        plan.video.clear();
        assert_eq!(needed(&title, &plan, &facts), []);
        facts.streams.push(StreamFacts::Other(OtherStream { stream: 1, kind: "picture".into(), codec: "png".into() }));
        assert_eq!(needed(&title, &plan, &facts), [Pass::Stills]);
        title.has_poster = true;
        assert_eq!(needed(&title, &plan, &facts), []);
        title.has_loudness = false;
        plan.audio.clear();
        assert_eq!(needed(&title, &plan, &facts), []);
    }
}
