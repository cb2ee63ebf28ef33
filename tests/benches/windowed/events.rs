//! The stream: keys and event times out of numbers, without a generator's state.

use std::ops::Range;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::WatermarkPolicy;

const KEYS: u64 = 10_000;
const DISORDER_MILLIS: u64 = 1_000;

/// Returns the key and the event time, in milliseconds, of an element.
pub fn event(number: u64) -> (u64, i64) {
    // The finaliser of SplitMix64.
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let (key, disorder) = (bits % KEYS, (bits >> 40) % DISORDER_MILLIS);
    (key, 1_700_000_000_000 + number as i64 - disorder as i64)
}

/// The first `.0` elements, as an unbounded source that ends.
pub struct Events(pub u64);

impl Source for Events {
    type Item = (u64, u64);
    type Split = Range<u64>;
    type Ack = ();
    type Reader = EventsReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _desired: usize) -> Result<Vec<Range<u64>>, Error> {
        Ok(std::iter::once(0..self.0).collect())
    }

    fn open(&self, split: Range<u64>, _: &ReadContext) -> Result<EventsReader, Error> {
        let disorder = Duration::from_millis(DISORDER_MILLIS);
        Ok(EventsReader(
            split,
            WatermarkPolicy::with_disorder(disorder),
        ))
    }
}

pub struct EventsReader(Range<u64>, WatermarkPolicy);

impl Reader<(u64, u64), ()> for EventsReader {
    async fn read(&mut self, batch: &mut ReadBatch<(u64, u64), ()>) -> Result<ReadStatus, Error> {
        for number in self.0.by_ref().take(batch.room()) {
            let (key, millis) = event(number);
            let timestamp = Timestamp::from_millis(millis);
            self.1.observe(timestamp);
            batch.push((key, number), timestamp);
        }
        Ok(if self.0.is_empty() {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        self.1.watermark()
    }
}
