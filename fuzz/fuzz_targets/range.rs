//! `Range`: whatever is asked, what is given lies in the body, apart from each other, and is what was asked for.

#![no_main]

use headwater_fuzz::semantics::{ByteRange, PARTS_MAX, Selection, range_specs, select};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, bool, &[u8])| {
    let (length, tiny, data) = input;
    let length = if tiny { length % 64 } else { length };
    let value = [b"bytes=", data].concat();
    select(data, length);
    let selection = select(&value, length);
    let ranges: Vec<ByteRange> = match &selection {
        Selection::One(range) => vec![*range],
        Selection::Several(ranges) => {
            assert!((2..=PARTS_MAX).contains(&ranges.len()));
            ranges.to_vec()
        }
        Selection::All | Selection::None => Vec::new(),
    };
    for (index, range) in ranges.iter().enumerate() {
        assert!(range.first() <= range.last() && range.last() < length);
        for other in &ranges[..index] {
            assert!(range.first() > other.last() + 1 || other.first() > range.last() + 1, "{range:?} touches {other:?}");
        }
    }
    if tiny && selection != Selection::All {
        let asked: Vec<ByteRange> = range_specs(&value).expect("bytes").filter_map(|spec| spec.expect("right").within(length)).collect();
        let covers = |ranges: &[ByteRange], byte: u64| ranges.iter().any(|range| (range.first()..=range.last()).contains(&byte));
        assert!((0..length).all(|byte| covers(&asked, byte) == covers(&ranges, byte)));
    }
});
