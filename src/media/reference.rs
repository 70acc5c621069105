//! Second references to a frame's data, so that what takes a frame over or changes its times leaves the first one alone.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

/// Makes `to`, an empty frame, refer to the data of `from`, with a copy of its properties.
///
/// # Errors
/// When there is no memory.
pub fn refer(to: &mut ffmpeg::Frame, from: &ffmpeg::Frame) -> Result<(), ffmpeg::Error> {
    // SAFETY: both are alive; `to` is unreferenced first, so nothing leaks.
    let made = unsafe {
        ffi::av_frame_unref(to.as_mut_ptr());
        ffi::av_frame_ref(to.as_mut_ptr(), from.as_ptr())
    };
    if made < 0 { Err(ffmpeg::Error::from(made)) } else { Ok(()) }
}
