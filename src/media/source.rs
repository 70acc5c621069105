//! A source: FFmpeg's demuxer over our own reading of one descriptor.
//!
//! FFmpeg never opens anything itself: bytes come from positioned reads of the given file, formats are an allow-list, and
//! whatever a demuxer would like to open besides is refused.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::packet::Mut;
use headwater::title::{Problem, ProblemCode, Seam};

use super::clock::Clocks;
use super::pulse::Pulse;
use super::sniff::length;

/// Demuxers that may see an upload. None of them follows references to other files; those that do are left out.
const FORMATS: &str = "mov,mp4,matroska,webm,mpegts,mpegtsraw,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,wav,w64,mp3,flac,aac,ac3,eac3,mxf,aiff,\
caf,amr,amrnb,amrwb,au,dv,h264,hevc,m4v,ivf,rm,nut,wv,tta,ape,gxf,dts,dtshd,truehd,mpc,mpc8,obu,vc1,voc,aa,tak,oma,wtv,r3d,nsv,dirac,cavsvideo,y4m,yuv4mpegpipe";

/// Bytes of the source looked at to find its streams.
const PROBE_BYTES: i64 = 8 << 20;
/// Microseconds of the source looked at to find its streams.
const PROBE_US: i64 = 10_000_000;
/// Streams at most; more is an attack, not a film.
const STREAMS_MAX: i64 = 256;
/// Bytes of one read of the descriptor.
const READ_BYTES: usize = 256 << 10;
/// Errors in a row after which reading is given up as the end.
const ERRORS_MAX: u32 = 100;

/// An opened source.
pub struct Source {
    input: Input,
    file: Arc<File>,
    pulse: Pulse,
    corrupt_count: u64,
    clocks: Clocks,
    /// The palette that was read last: it comes with the packet from which on it holds, and with no other.
    palette: Option<Vec<u8>>,
}

impl Source {
    /// Opens the file and finds its streams. Timestamps are mended by these seams, wherever reading begins.
    pub fn open(file: Arc<File>, seams: &[Seam], pulse: Pulse) -> Result<Self, Problem> {
        Self::open_as(file, seams, pulse, true)
    }

    /// Opens the file with the times that it stores, moved by the first edit of an edit list but not cut by it.
    pub fn open_unedited(file: Arc<File>, pulse: Pulse) -> Result<Self, Problem> {
        Self::open_as(file, &[], pulse, false)
    }

    fn open_as(file: Arc<File>, seams: &[Seam], pulse: Pulse, edited: bool) -> Result<Self, Problem> {
        let reader = Reader { file: Arc::clone(&file), at: 0, pulse: Pulse::clone(&pulse) };
        let reader = OneThread(reader);
        let mut io = StreamIo::from_read_seek_with_capacity(reader, READ_BYTES).map_err(|error| corrupt("no buffer", error))?;
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", FORMATS);
        options.set("protocol_whitelist", "none");
        options.set("probesize", &PROBE_BYTES.to_string());
        options.set("analyzeduration", &PROBE_US.to_string());
        options.set("max_streams", &STREAMS_MAX.to_string());
        if !edited {
            options.set("advanced_editlist", "0");
        }
        // SAFETY: the context is allocated here, and either `avformat_open_input` frees it on failure or `Input` owns it
        // together with the reader, which outlives it inside `Input`. The option dictionary is handed over and taken back.
        let mut input = unsafe {
            let mut context = ffi::avformat_alloc_context();
            if context.is_null() {
                return Err(Problem::with_detail(ProblemCode::Corrupt, "out of memory"));
            }
            (*context).pb = io.as_mut_ptr();
            (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            (*context).io_open = Some(refuse_to_open);
            let mut raw = options.disown();
            let opened = ffi::avformat_open_input(&mut context, ptr::null(), ptr::null(), &mut raw);
            ffmpeg::Dictionary::own(raw);
            if opened < 0 {
                return Err(refused(ffmpeg::Error::from(opened)));
            }
            Input::wrap_with_custom_io(context, io)
        };
        // SAFETY: the context is open and owned by `input`.
        let found = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) };
        if found < 0 {
            return Err(corrupt("its streams cannot be read", ffmpeg::Error::from(found)));
        }
        let clocks = Clocks::of(&input, seams);
        Ok(Self { input, file, pulse, corrupt_count: 0, clocks, palette: None })
    }

    /// The demuxer's view of the source.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Length of the source in bytes.
    pub fn bytes(&self) -> u64 {
        length(&self.file).unwrap_or(0)
    }

    /// Places where reading had to skip ahead, and packets marked as damaged, so far.
    pub fn corrupt_count(&self) -> u64 {
        self.corrupt_count
    }

    /// From now on only packets of `stream` are read.
    pub fn only(&mut self, stream: u32) {
        for index in 0..self.input.nb_streams() {
            let discard = if index == stream { ffi::AVDiscard::AVDISCARD_DEFAULT } else { ffi::AVDiscard::AVDISCARD_ALL };
            // SAFETY: `index` is below the number of streams, so the pointer is one of the context's streams.
            unsafe { (**(*self.input.as_mut_ptr()).streams.add(index as usize)).discard = discard };
        }
    }

    /// The next packet; absent at the end. Damage in between is skipped and counted.
    pub fn read(&mut self) -> Option<ffmpeg::Packet> {
        let mut errors = 0;
        loop {
            // A packet of its own for each read: reading into a used one would leak what it held.
            let mut packet = ffmpeg::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {
                    self.corrupt_count += u64::from(packet.is_corrupt());
                    self.clocks.set(&mut packet);
                    if let Some(palette) = palette_of(&packet) {
                        self.palette = Some(palette);
                    }
                    return Some(packet);
                }
                Err(ffmpeg::Error::Eof) => return None,
                Err(ffmpeg::Error::Other { errno: libc::EAGAIN }) if errors < ERRORS_MAX => errors += 1,
                Err(_) if errors < ERRORS_MAX => {
                    errors += 1;
                    self.corrupt_count += u64::from(errors == 1);
                }
                Err(_) => return None,
            }
        }
    }

    /// The next packet of `stream`; absent at the end.
    pub fn read_of(&mut self, stream: u32) -> Option<ffmpeg::Packet> {
        std::iter::from_fn(|| self.read()).find(|packet| packet.stream() == stream as usize)
    }

    /// Goes to the packet of `stream` with presentation (or, lacking one, decoding) time `pts` and returns it; absent when
    /// no such packet can be found. Tries the demuxer's index and the byte offset, then reads from the start.
    pub fn find_packet(&mut self, stream: u32, pts: i64, position: Option<u64>) -> Option<ffmpeg::Packet> {
        // MPEG's streams have no index: a search by time takes many reads and often ends behind a picture that is shown
        // later than others. A place in bytes is as good as the packet.
        let ways: &[Way] = match self.input.format().name() {
            // All palettes up to the packet have to be seen.
            _ if self.has_palette(stream) => &[Way::Start],
            "mpegts" | "mpeg" => &[Way::Bytes, Way::Time, Way::Start],
            _ => &[Way::Time, Way::Bytes, Way::Start],
        };
        for way in ways {
            let there = match (way, position) {
                (Way::Time, _) => self.seek(stream as i32, self.clocks.raw(stream, pts, position), ffi::AVSEEK_FLAG_BACKWARD),
                (Way::Bytes, Some(position)) => self.seek(-1, position as i64, ffi::AVSEEK_FLAG_BYTE),
                (Way::Bytes, None) => false,
                (Way::Start, _) => self.rewind(),
            };
            if !there {
                continue;
            }
            while let Some(mut packet) = self.read_of(stream) {
                let here = u64::try_from(packet.position()).ok();
                if position.is_some() && here == position {
                    self.clocks.count_from(&mut packet, pts);
                }
                let Some(time) = packet.pts().or(packet.dts()) else { continue };
                if time == pts && (position.is_none() || here.is_none() || here == position) {
                    if let (Some(palette), None) = (&self.palette, palette_of(&packet)) {
                        give_palette(&mut packet, palette);
                    }
                    return Some(packet);
                }
                // Decoding order lets a picture shown later come first, but not by more than this.
                if packet.dts().is_some_and(|dts| dts > pts) {
                    break;
                }
            }
        }
        None
    }

    fn seek(&mut self, stream: i32, target: i64, flags: i32) -> bool {
        self.clocks.leave();
        // SAFETY: the context is open; a failed seek leaves it usable.
        unsafe { ffi::av_seek_frame(self.input.as_mut_ptr(), stream, target, flags) >= 0 }
    }

    /// Opens the source anew, which is the one way back to the start that works for every demuxer.
    fn rewind(&mut self) -> bool {
        let kept: Vec<u32> = (0..self.input.nb_streams()).filter(|index| self.is_kept(*index)).collect();
        match Self::open(Arc::clone(&self.file), self.clocks.seams(), Pulse::clone(&self.pulse)) {
            Ok(fresh) => {
                let was = std::mem::replace(self, fresh);
                self.corrupt_count = was.corrupt_count;
                if let [stream] = kept.as_slice() {
                    self.only(*stream);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the pictures of a stream are numbers of colours that a palette holds.
    fn has_palette(&self, stream: u32) -> bool {
        self.input.stream(stream as usize).is_some_and(|stream| {
            // SAFETY: reads one integer of parameters that live as long as the stream.
            unsafe { (*stream.parameters().as_ptr()).format == ffi::AVPixelFormat::AV_PIX_FMT_PAL8 as i32 }
        })
    }

    fn is_kept(&self, index: u32) -> bool {
        self.input.stream(index as usize).is_some_and(|stream| stream.discard() != ffmpeg::Discard::All)
    }
}

fn palette_of(packet: &ffmpeg::Packet) -> Option<Vec<u8>> {
    packet.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::Palette).map(|side| side.data().to_vec())
}

fn give_palette(packet: &mut ffmpeg::Packet, palette: &[u8]) {
    // SAFETY: the packet is alive and owned; what is allocated for it has room for just the palette.
    unsafe {
        let place = ffi::av_packet_new_side_data(packet.as_mut_ptr(), ffi::AVPacketSideDataType::AV_PKT_DATA_PALETTE, palette.len());
        if !place.is_null() {
            ptr::copy_nonoverlapping(palette.as_ptr(), place, palette.len());
        }
    }
}

/// How to get to a packet.
#[derive(Clone, Copy)]
enum Way {
    Time,
    Bytes,
    Start,
}

/// Reads the descriptor by offset, so that several sources can share it.
struct Reader {
    file: Arc<File>,
    at: u64,
    pulse: Pulse,
}

/// Our own code starts no thread, so what must be `Send` for FFmpeg's wrapper never leaves the first one.
struct OneThread<T>(T);

// SAFETY: reading is asked for by the thread that runs the engine alone: there is no other but x265's, which sees pictures.
unsafe impl<T> Send for OneThread<T> {}

impl Read for OneThread<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = &mut self.0;
        let read = reader.file.read_at(buffer, reader.at)?;
        reader.at += read as u64;
        reader.pulse.advance(read as u64);
        Ok(read)
    }
}

impl Seek for OneThread<Reader> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let reader = &mut self.0;
        let base = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (reader.at, by),
            SeekFrom::End(by) => (length(&reader.file)?, by),
        };
        reader.at = base.0.checked_add_signed(base.1).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(reader.at)
    }
}

/// Takes the place of FFmpeg's own opening of files and addresses.
unsafe extern "C" fn refuse_to_open(
    _context: *mut ffi::AVFormatContext,
    _io: *mut *mut ffi::AVIOContext,
    _url: *const libc::c_char,
    _flags: libc::c_int,
    _options: *mut *mut ffi::AVDictionary,
) -> libc::c_int {
    ffi::AVERROR(libc::EPERM)
}

fn refused(error: ffmpeg::Error) -> Problem {
    match error {
        ffmpeg::Error::InvalidData => Problem::new(ProblemCode::NotMedia),
        // The probe took it for a format that is not on the list.
        ffmpeg::Error::Other { errno: libc::EINVAL } => Problem::new(ProblemCode::NotMedia),
        other => corrupt("it cannot be opened", other),
    }
}

fn corrupt(what: &str, error: ffmpeg::Error) -> Problem {
    Problem::with_detail(ProblemCode::Corrupt, format!("{what}: {error}"))
}
