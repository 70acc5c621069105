//! What a sample table says of a track: each sample's size, time and place, alike ones told together.

use crate::cmaf::Error;

/// One sample of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where in its segment it begins.
    pub offset_bytes: u64,
    pub size_bytes: u32,
    pub duration_ticks: u32,
    pub composition_offset_ticks: i32,
    pub sync: bool,
}

/// How often in a row a value comes.
#[derive(Clone, Debug)]
pub(super) struct Runs<T>(pub Vec<(u32, T)>);

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Runs<T> {
    fn push(&mut self, value: T) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value && *count < u32::MAX => *count += 1,
            _ => self.0.push((1, value)),
        }
    }
}

/// The samples of a track in decode order, and the chunks they lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleTables {
    pub sizes: Vec<u32>,
    pub durations: Runs<u32>,
    pub composition_offsets: Runs<i32>,
    /// Numbers of the samples with which decoding can begin, from 1, as long as there are others.
    pub syncs: Vec<u32>,
    /// Where each chunk begins, counted from the first byte of all samples of the file.
    pub chunk_places: Vec<u64>,
    /// Samples of each chunk.
    pub chunk_samples: Runs<u32>,
    duration_ticks: u64,
    all_sync: bool,
}

impl SampleTables {
    /// Adds a chunk that begins at `place`.
    pub fn push(&mut self, place: u64, samples: &[Sample]) -> Result<(), Error> {
        self.chunk_places.push(place);
        self.chunk_samples.push(u32::try_from(samples.len()).map_err(|_| Error::TooLarge("the number of samples"))?);
        for sample in samples {
            let before = u32::try_from(self.sizes.len()).map_err(|_| Error::TooLarge("the number of samples"))?;
            let number = before.checked_add(1).ok_or(Error::TooLarge("the number of samples"))?;
            let all_before = before == 0 || self.all_sync;
            self.all_sync = all_before && sample.sync;
            match (sample.sync, all_before) {
                // Of sound nothing is kept.
                (true, true) | (false, false) => {}
                (true, false) => self.syncs.push(number),
                // The first that is not; those before all were.
                (false, true) => self.syncs.extend(1..number),
            }
            self.sizes.push(sample.size_bytes);
            self.durations.push(sample.duration_ticks);
            self.composition_offsets.push(sample.composition_offset_ticks);
            self.duration_ticks += u64::from(sample.duration_ticks);
        }
        Ok(())
    }

    /// How long all of them last.
    pub fn duration_ticks(&self) -> u64 {
        self.duration_ticks
    }

    /// Whether decoding can begin with every sample, so that no table need say so.
    pub fn all_sync(&self) -> bool {
        self.all_sync
    }

    /// How much later all samples must be presented for none to be presented before it is decoded.
    pub fn delay_ticks(&self) -> u32 {
        self.composition_offsets.0.iter().map(|(_, offset)| offset.min(&0).unsigned_abs()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(samples: &[(bool, i32)]) -> SampleTables {
        let sample = |&(sync, composition_offset_ticks): &(bool, i32)| Sample {
            offset_bytes: 0,
            size_bytes: 5,
            duration_ticks: 10,
            composition_offset_ticks,
            sync,
        };
        let mut tables = SampleTables::default();
        tables.push(0, &samples.iter().map(sample).collect::<Vec<_>>()).expect("pushed");
        tables
    }

    #[test]
    fn alike_ones_are_told_together() {
        let tables = tables(&[(true, 0), (false, 20), (false, -10), (false, -10), (true, 0)]);
        assert_eq!(tables.durations.0, [(5, 10)]);
        assert_eq!(tables.composition_offsets.0, [(1, 0), (1, 20), (2, -10), (1, 0)]);
        assert_eq!((tables.duration_ticks(), tables.delay_ticks(), tables.sizes.len()), (50, 10, 5));
        assert_eq!((tables.syncs.as_slice(), tables.all_sync()), ([1, 5].as_slice(), false));
    }

    #[test]
    fn where_all_can_begin_no_list_is_kept() {
        let all = tables(&[(true, 0), (true, 0), (true, 0)]);
        assert!(all.all_sync() && all.syncs.is_empty() && all.delay_ticks() == 0);
        let not_the_last = tables(&[(true, 0), (true, 0), (false, 0), (true, 0)]);
        assert_eq!((not_the_last.syncs.as_slice(), not_the_last.all_sync()), ([1, 2, 4].as_slice(), false));
        let none = tables(&[(false, 0), (false, 0), (true, 0)]);
        assert_eq!((none.syncs.as_slice(), none.all_sync()), ([3].as_slice(), false));
    }
}
