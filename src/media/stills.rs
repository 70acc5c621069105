//! The pass over the stills: the poster and the small pictures along the time.
//!
//! A tile shows the picture at its time, from a key frame's packet alone where that is near and no other tile shows it. The
//! poster is the tile of the first part that looks best, or of all when that part is black, decoded again in its full size.

use std::fs::File;
use std::sync::Arc;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use headwater::title::{
    ColourFacts, Plan, Problem, ProblemCode, Ratio, SourceFacts, Storyboard, VideoCodec, VideoEncoding, VideoFacts, VideoMethod,
    VideoRange, VideoTrack, poster_size,
};
use headwater::worker::protocol::MadeStills;

use super::black::black;
use super::cover;
use super::deinterlace::LonePicture;
use super::glance::Glance;
use super::jpeg;
use super::judge::Looks;
use super::pulse::Pulse;
use super::scaler::{Recolours, Scaler};
use super::source::Source;

/// Quality of posters and of sprites, on the encoder's scale from 2 (best) to 31.
pub const POSTER_QUALITY: i32 = 3;
const SPRITE_QUALITY: i32 = 5;
/// The poster is from the first minute, or the first fifth of a longer title, but not from later than this.
const POSTER_FIRST_S: i128 = 60;
const POSTER_SHARE: i128 = 5;
const POSTER_LAST_S: i128 = 600;
/// Pictures that are looked at once more, for whether they are in a fade.
const CANDIDATES_MAX: usize = 6;
/// Black at the start is told when it lasts so long, and followed for so long.
const BLACK_LEAST_MS: i128 = 1000;
const BLACK_MOST_MS: i128 = 60_000;
const BLACK_STEP_MS: i128 = 200;

/// Makes the stills of a plan: of its picture, else the poster of a picture that is attached to the sound.
///
/// # Errors
/// A [`Problem`] when encoding fails. What cannot be decoded is left out.
pub fn look(file: &Arc<File>, facts: &SourceFacts, plan: &Plan, pulse: &Pulse) -> Result<MadeStills, Problem> {
    let mut made = MadeStills { poster: None, poster_is_cover: false, sheets: Vec::new(), black_start_ms: 0 };
    let Some(video) = plan.video_stream.and_then(|stream| facts.video(stream)) else {
        made.poster = cover::poster(file, facts, plan, pulse)?;
        made.poster_is_cover = made.poster.is_some();
        return Ok(made);
    };
    let Some(board) = Storyboard::of(plan) else { return Ok(made) };
    let source = Source::open(Arc::clone(file), &facts.seams, pulse.clone())?;
    let Some(glance) = Glance::open(source, video) else { return Ok(made) };
    let mut stills = Stills {
        glance,
        video,
        plan,
        board,
        colour: video.standard_colour(),
        tile: Shrink::to(plan, video, board.tile_width, board.tile_height),
    };
    let tiles = stills.tiles()?;
    if tiles.iter().all(Option::is_none) {
        return Ok(made);
    }
    made.poster = stills.poster(&tiles)?;
    made.sheets = stills.sheets(&tiles)?;
    made.black_start_ms = stills.black_start_ms(&tiles)?;
    Ok(made)
}

struct Stills<'a> {
    glance: Glance,
    video: &'a VideoFacts,
    plan: &'a Plan,
    board: Storyboard,
    colour: ColourFacts,
    tile: Shrink<'a>,
}

/// A small picture, how it came about, and how it looks.
struct Tile {
    picture: Video,
    from: From,
    looks: Looks,
    /// How the picture half a second later looks, where that was on the way.
    later: Option<Looks>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    KeyFrame(usize),
    /// The last picture at or before that time of the source.
    Time(i64),
}

impl Stills<'_> {
    /// A picture for each tile; absent where the same is shown as in the tile before.
    fn tiles(&mut self) -> Result<Vec<Option<Tile>>, Problem> {
        let mut tiles: Vec<Option<Tile>> = Vec::with_capacity(self.board.tiles as usize);
        let mut last: Option<(usize, i64)> = None;
        for tile in 0..self.board.tiles {
            let pts = self.pts_at(self.board.time_of(tile));
            let key = self.glance.key_before(pts);
            let shown = match last {
                // There is nothing new to be had after the last picture.
                Some((_, before)) if before >= self.video.last_pts => None,
                Some((before, _)) if before == key || self.is_stale(key, pts) => self.on_the_way(tile, pts)?,
                None if self.is_stale(key, pts) => self.on_the_way(tile, pts)?,
                _ => match self.small(From::KeyFrame(key))? {
                    // Some key frames give nothing alone.
                    None => self.small(From::Time(pts))?,
                    some => some,
                },
            };
            last = Some((key, pts));
            tiles.push(shown);
        }
        Ok(tiles)
    }

    /// Whether a key frame is too long before a time to stand for it: by more than half the way from tile to tile.
    fn is_stale(&self, key: usize, pts: i64) -> bool {
        let half = self.video.time_base.ticks_at(Ratio::new(i128::from(self.board.interval_ms), 2000));
        self.video.key_frames.get(key).is_some_and(|key| pts - key.pts > half)
    }

    /// The tile of a time between key frames, and, since the next one is decoded from here on, a look at what comes half a
    /// second later where the poster may come from it.
    fn on_the_way(&mut self, number: u32, pts: i64) -> Result<Option<Tile>, Problem> {
        let tile = self.small(From::Time(pts))?;
        if !self.may_be_poster(number) || tile.as_ref().is_none_or(|tile| tile.looks.worth() <= 0.0) {
            return Ok(tile);
        }
        let later = self.small(From::Time(self.half_a_second_after(pts)))?;
        Ok(tile.map(|tile| Tile { later: later.map(|later| later.looks), ..tile }))
    }

    /// Whether a tile is early enough for the poster.
    fn may_be_poster(&self, number: u32) -> bool {
        let share = self.plan.timeline.duration() / POSTER_SHARE;
        let until = share.min(Ratio::from_integer(POSTER_LAST_S)).max(Ratio::from_integer(POSTER_FIRST_S));
        self.board.time_of(number) <= until
    }

    fn half_a_second_after(&self, pts: i64) -> i64 {
        pts.saturating_add(self.video.time_base.ticks_at(Ratio::new(1, 2)))
    }

    /// The tick of the source that is shown at a time of the title: its frame's middle, since a picture may lie off the grid.
    fn pts_at(&self, time: Ratio) -> i64 {
        let half = self.plan.timeline.frame_rate().time_of(1) / 2;
        self.video.time_base.ticks_at(self.plan.origin + time + half)
    }

    fn small(&mut self, from: From) -> Result<Option<Tile>, Problem> {
        let Some(picture) = shrunk(&mut self.glance, from, true, &mut self.tile)? else { return Ok(None) };
        let looks = Looks::of(picture.data(0), picture.stride(0), picture.width() as usize, picture.height() as usize);
        Ok(Some(Tile { picture, from, looks, later: None }))
    }

    fn poster(&mut self, tiles: &[Option<Tile>]) -> Result<Option<bytes::Bytes>, Problem> {
        let early = (0..).zip(tiles).filter(|(tile, _)| self.may_be_poster(*tile));
        let mut candidates: Vec<&Tile> = early.filter_map(|(_, tile)| tile.as_ref()).collect();
        if candidates.iter().all(|tile| tile.looks.is_black()) {
            // Better one that tells too much than one that tells nothing.
            candidates = tiles.iter().flatten().collect();
        }
        // The earlier of two that are worth the same.
        candidates.sort_by(|one, other| other.looks.worth().total_cmp(&one.looks.worth()));
        let mut chosen = candidates.first().copied();
        for candidate in candidates.iter().filter(|tile| tile.looks.worth() > 0.0).take(CANDIDATES_MAX) {
            if self.is_steady(candidate)? {
                chosen = Some(candidate);
                break;
            }
        }
        let Some(chosen) = chosen else { return Ok(None) };
        let largest = self.plan.video.first().map_or((2, 2), |track| (track.width, track.height));
        let (width, height) = poster_size(largest.0, largest.1);
        let mut full = Shrink::to(self.plan, self.video, width, height);
        let picture = shrunk(&mut self.glance, chosen.from, false, &mut full)?;
        picture.map(|picture| jpeg::encode(&picture, self.colour, POSTER_QUALITY)).transpose()
    }

    /// Whether the picture half a second later looks like it.
    fn is_steady(&mut self, tile: &Tile) -> Result<bool, Problem> {
        if let Some(later) = &tile.later {
            return Ok(tile.looks.is_steady(later));
        }
        let at = match tile.from {
            From::KeyFrame(key) => self.video.key_frames.get(key).map_or(0, |key| key.pts),
            From::Time(pts) => pts,
        };
        let later = self.small(From::Time(self.half_a_second_after(at)))?;
        Ok(later.is_some_and(|later| tile.looks.is_steady(&later.looks)))
    }

    fn sheets(&self, tiles: &[Option<Tile>]) -> Result<Vec<bytes::Bytes>, Problem> {
        let mut sheets: Vec<Video> = (0..self.board.sheets())
            .map(|sheet| self.board.sheet_size(sheet))
            .map(|(width, height)| black(Pixel::YUV420P, width, height))
            .collect();
        // Before the first picture, the first picture.
        let mut shown = tiles.iter().flatten().next();
        for (number, tile) in (0..).zip(tiles) {
            shown = tile.as_ref().or(shown);
            let (sheet, x, y) = self.board.place(number);
            if let (Some(tile), Some(sheet)) = (shown, sheets.get_mut(usize::from(sheet))) {
                lay(sheet, &tile.picture, x as usize, y as usize);
            }
        }
        sheets.iter().map(|sheet| jpeg::encode(sheet, self.colour, SPRITE_QUALITY)).collect()
    }

    /// For how long the title is black at its start, when it is.
    fn black_start_ms(&mut self, tiles: &[Option<Tile>]) -> Result<u64, Problem> {
        if !tiles.first().and_then(Option::as_ref).is_some_and(|tile| tile.looks.is_black()) {
            return Ok(0);
        }
        let end_ms = i128::from(self.board.duration_ms).min(BLACK_MOST_MS);
        let mut ms = 0;
        while ms < end_ms {
            let pts = self.pts_at(Ratio::new(ms, 1000));
            if self.small(From::Time(pts))?.is_some_and(|tile| !tile.looks.is_black()) {
                break;
            }
            ms += BLACK_STEP_MS;
        }
        Ok(if ms >= BLACK_LEAST_MS { u64::try_from(ms.min(end_ms)).unwrap_or(0) } else { 0 })
    }
}

/// A picture of the source in another size; absent when nothing comes out of the decoder.
fn shrunk(glance: &mut Glance, from: From, rough: bool, to: &mut Shrink<'_>) -> Result<Option<Video>, Problem> {
    match from {
        From::KeyFrame(key) => glance.key_frame(key).map(|picture| to.shrink(&picture)).transpose(),
        From::Time(pts) => glance.picture(pts, rough).map(|picture| to.shrink(picture)).transpose(),
    }
}

/// Brings pictures upright, in square pixels and 8-bit limited range, to one size: the way of the renditions.
pub struct Shrink<'a> {
    plan: Plan,
    video: &'a VideoFacts,
    scaler: Option<Scaler>,
    recolours: Recolours,
    whole: Option<LonePicture>,
}

impl<'a> Shrink<'a> {
    /// To `width` by `height` of the upright picture.
    pub fn to(plan: &Plan, video: &'a VideoFacts, width: u32, height: u32) -> Self {
        let encoding = VideoEncoding { codec: VideoCodec::Avc, preset: String::new(), crf_tenths: 0, maxrate_bps: 0, bufsize_bits: 0 };
        let size = VideoTrack { name: String::new(), width, height, range: VideoRange::Sdr, method: VideoMethod::Encode(encoding) };
        Self { plan: Plan { video: vec![size], ..plan.clone() }, video, scaler: None, recolours: Recolours::default(), whole: None }
    }

    /// The picture in that size.
    pub fn shrink(&mut self, picture: &Video) -> Result<Video, Problem> {
        let whole = self.plan.deinterlace.map(|way| LonePicture::whole(&mut self.whole, way, picture)).transpose().map_err(failed)?;
        let picture = whole.as_ref().unwrap_or(picture);
        if !self.scaler.as_ref().is_some_and(|scaler| scaler.fits(picture, &[0])) {
            self.scaler = Some(Scaler::new(picture, self.video, &self.plan, &[0], &mut self.recolours).map_err(failed)?);
        }
        let pictures = self.scaler.as_mut().map(|scaler| scaler.scale(picture)).transpose().map_err(failed)?;
        pictures.and_then(|pictures| pictures.into_iter().next()).ok_or_else(|| failed("no picture came out"))
    }
}

/// Lays a picture on a sheet; both are 4:2:0, and the place is even.
fn lay(sheet: &mut Video, picture: &Video, x: usize, y: usize) {
    for plane in 0..3 {
        let half = usize::from(plane > 0);
        let (x, y) = (x >> half, y >> half);
        let (width, height) = (picture.width() as usize >> half, picture.height() as usize >> half);
        let (from_stride, to_stride) = (picture.stride(plane), sheet.stride(plane));
        let (from, to) = (picture.data(plane), sheet.data_mut(plane));
        for row in 0..height {
            let (start, target) = (row * from_stride, (y + row) * to_stride + x);
            to[target..target + width].copy_from_slice(&from[start..start + width]);
        }
    }
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("making stills: {what}"))
}
