//! What can be wrong with a segment that a worker made, for those who read the log.

/// Why a segment is not the one that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plan has no such track or segment.
    #[error("the plan has no such segment")]
    NotPlanned,
    /// The boxes at the top are others.
    #[error("it is not made of styp and its chunks of moof and mdat alone")]
    Boxes,
    /// The boxes in `moof` are others.
    #[error("its moof is not made of mfhd and one traf with tfhd, tfdt and trun")]
    FragmentBoxes,
    /// `styp` names other brands.
    #[error("its brands are not those of a segment")]
    Brands,
    /// `mfhd` counts otherwise.
    #[error("a sequence number is not the next of its track")]
    SequenceNumber,
    /// `tfhd` has other fields or values.
    #[error("its track header is not the planned one")]
    TrackHeader,
    /// `tfdt` is of another version or tells another time.
    #[error("its decode time is not the planned one")]
    DecodeTime,
    /// `trun` has fields it may not have, lacks some it must have, or its length does not fit its count.
    #[error("its sample table is malformed")]
    SampleTable,
    /// Another number of samples than planned.
    #[error("it holds {found} samples, planned are {planned}")]
    SampleCount {
        /// As the sample table says.
        found: u32,
        /// As the plan says.
        planned: u32,
    },
    /// The samples do not begin where `mdat` does.
    #[error("the samples of a chunk do not begin with its mdat")]
    DataOffset,
    /// A sample lasts longer or shorter than planned.
    #[error("sample {sample} does not last as long as planned")]
    SampleDuration {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A sample has no bytes.
    #[error("sample {sample} is empty")]
    EmptySample {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The sizes add up to another length than `mdat` has.
    #[error("the samples of a chunk do not fill its mdat exactly")]
    SampleSizes,
    /// Flags other than the two that are used, or sound that is no sync sample.
    #[error("sample {sample} has unknown flags")]
    SampleFlags {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The first picture is no IDR picture, or not flagged so.
    #[error("it does not start with a key frame")]
    NoKeyFrame,
    /// The flag says key frame and the bytes do not, or the other way round.
    #[error("sample {sample} is flagged as what it is not")]
    SyncFlag {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The NAL units' lengths do not fill the sample.
    #[error("the NAL units of sample {sample} do not fill it exactly")]
    NalLengths {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A picture of an open group of pictures, which HEVC marks as such.
    #[error("sample {sample} belongs to an open group of pictures")]
    OpenGroup {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A parameter set inside a sample, where `avc1` and `hvc1` do not allow one.
    #[error("sample {sample} carries a parameter set")]
    ParameterSet {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// No slice in the sample.
    #[error("sample {sample} holds no picture")]
    NoPicture {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A picture is presented between the planned moments, outside the segment, or when another one is; or a key frame is
    /// presented out of turn, so that pictures before it would need what comes after.
    #[error("sample {sample} is not presented at a moment of its own in the segment")]
    Presentation {
        /// Which, in decode order from 0.
        sample: u32,
    },
}
