//! Which speaker each channel of a sound is meant for.

use ffmpeg_next::ffi;
use ffmpeg_next::frame::Audio;

/// Where a channel is heard from. The order is that of FFmpeg's numbers, which is that of channels in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    FrontLeft,
    FrontRight,
    FrontCentre,
    LowFrequency,
    BackLeft,
    BackRight,
    FrontLeftOfCentre,
    FrontRightOfCentre,
    BackCentre,
    SideLeft,
    SideRight,
    TopCentre,
    TopFrontLeft,
    TopFrontCentre,
    TopFrontRight,
    TopBackLeft,
    TopBackCentre,
    TopBackRight,
    MixLeft,
    MixRight,
    WideLeft,
    WideRight,
    SurroundDirectLeft,
    SurroundDirectRight,
    LowFrequency2,
    TopSideLeft,
    TopSideRight,
    BottomFrontCentre,
    BottomFrontLeft,
    BottomFrontRight,
    /// All around: the omnidirectional channel of a sound field.
    Everywhere,
    /// Nobody knows.
    Unknown,
}

impl Speaker {
    /// The speaker of FFmpeg's number (`AVChannel`).
    fn of_number(number: i64) -> Self {
        match number {
            0 => Self::FrontLeft,
            1 => Self::FrontRight,
            2 => Self::FrontCentre,
            3 => Self::LowFrequency,
            4 => Self::BackLeft,
            5 => Self::BackRight,
            6 => Self::FrontLeftOfCentre,
            7 => Self::FrontRightOfCentre,
            8 => Self::BackCentre,
            9 => Self::SideLeft,
            10 => Self::SideRight,
            11 => Self::TopCentre,
            12 => Self::TopFrontLeft,
            13 => Self::TopFrontCentre,
            14 => Self::TopFrontRight,
            15 => Self::TopBackLeft,
            16 => Self::TopBackCentre,
            17 => Self::TopBackRight,
            29 => Self::MixLeft,
            30 => Self::MixRight,
            31 => Self::WideLeft,
            32 => Self::WideRight,
            33 => Self::SurroundDirectLeft,
            34 => Self::SurroundDirectRight,
            35 => Self::LowFrequency2,
            36 => Self::TopSideLeft,
            37 => Self::TopSideRight,
            38 => Self::BottomFrontCentre,
            39 => Self::BottomFrontLeft,
            40 => Self::BottomFrontRight,
            0x400 => Self::Everywhere,
            _ => Self::Unknown,
        }
    }
}

/// The speakers of a decoded frame's channels, in their order.
pub fn of_frame(frame: &Audio) -> Vec<Speaker> {
    // SAFETY: the frame is alive, and its layout with it.
    of_layout(unsafe { &(*frame.as_ptr()).ch_layout })
}

/// The speakers of a layout's channels, in their order. A layout that names none has the usual one for its number of
/// channels; where there is none, the first two channels are left and right, as in programmes that carry a stereo mix first.
pub fn of_layout(layout: &ffi::AVChannelLayout) -> Vec<Speaker> {
    let count = usize::try_from(layout.nb_channels).unwrap_or(0);
    named(layout, count).or_else(|| usual(count)).unwrap_or_else(|| {
        let first = [Speaker::FrontLeft, Speaker::FrontRight];
        (0..count).map(|index| first.get(index).copied().unwrap_or(Speaker::Unknown)).collect()
    })
}

/// FFmpeg's name of the layout, such as `5.1(side)`; absent where neither the source nor usage says what its channels are.
pub fn name(layout: &ffi::AVChannelLayout) -> Option<String> {
    let count = usize::try_from(layout.nb_channels).unwrap_or(0);
    if layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
        return usual_layout(count).as_ref().and_then(described);
    }
    named(layout, count).and_then(|_| described(layout))
}

fn named(layout: &ffi::AVChannelLayout, count: usize) -> Option<Vec<Speaker>> {
    let speakers: Vec<Speaker> = match layout.order {
        ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC => return None,
        ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE => {
            // SAFETY: this member is the one in use in this order.
            let mask = unsafe { layout.u.mask };
            (0..64).filter(|bit| mask >> bit & 1 == 1).map(Speaker::of_number).collect()
        }
        ffi::AVChannelOrder::AV_CHANNEL_ORDER_CUSTOM => {
            // SAFETY: this member is the one in use in this order; it points to an entry a channel. The number is read as
            // such, for it need not be one of those that the bindings know.
            let number = |index| unsafe { i64::from(std::ptr::addr_of!((*layout.u.map.add(index)).id).cast::<i32>().read()) };
            (0..count).map(|index| Speaker::of_number(number(index))).collect()
        }
        ffi::AVChannelOrder::AV_CHANNEL_ORDER_AMBISONIC => {
            (0..count).map(|index| if index == 0 { Speaker::Everywhere } else { Speaker::Unknown }).collect()
        }
    };
    (speakers.len() == count && speakers.iter().any(|speaker| *speaker != Speaker::Unknown)).then_some(speakers)
}

fn usual(count: usize) -> Option<Vec<Speaker>> {
    usual_layout(count).and_then(|layout| named(&layout, count))
}

fn usual_layout(count: usize) -> Option<ffi::AVChannelLayout> {
    // SAFETY: zeroes are an empty layout; the function fills it in without allocating.
    let layout = unsafe {
        let mut layout: ffi::AVChannelLayout = std::mem::zeroed();
        ffi::av_channel_layout_default(&mut layout, libc::c_int::try_from(count).ok()?);
        layout
    };
    (layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE).then_some(layout)
}

fn described(layout: &ffi::AVChannelLayout) -> Option<String> {
    let mut name = [0_u8; 128];
    // SAFETY: the function writes at most that many bytes, a zero at the end included.
    let length = unsafe { ffi::av_channel_layout_describe(layout, name.as_mut_ptr().cast(), name.len()) };
    let text = name.split(|byte| *byte == 0).next()?;
    (length > 0).then(|| String::from_utf8_lossy(text).into_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_layouts_fill_in_for_missing_ones() {
        let unspecified = |count| {
            // SAFETY: zeroes are an empty layout.
            let mut layout: ffi::AVChannelLayout = unsafe { std::mem::zeroed() };
            layout.nb_channels = count;
            layout
        };
        assert_eq!(name(&unspecified(6)).as_deref(), Some("5.1"));
        assert_eq!(name(&unspecified(8)).as_deref(), Some("7.1"));
        assert_eq!(name(&unspecified(24)).as_deref(), Some("22.2"));
        assert_eq!(name(&unspecified(13)), None);
        assert_eq!(of_layout(&unspecified(1)), [Speaker::FrontCentre]);
        assert_eq!(of_layout(&unspecified(13))[..3], [Speaker::FrontLeft, Speaker::FrontRight, Speaker::Unknown]);
        assert_eq!(of_layout(&unspecified(13)).len(), 13);
        assert_eq!(of_layout(&unspecified(0)), []);
    }
}
