//! Made-up values of a type, encoded: whether another type reads them tells, before any real value is met, whether a
//! program that has been changed can go on with what it wrote before.

use std::any::type_name;

use super::shape::{Numbers, Stop, Tracer};
use super::{CoderError, Element, decode_strictly, encode_to};

/// How often a type's `Deserialize` is run at most, for each choice of numbers.
const MAX_RUNS: usize = 1_000;

/// The bytes of all samples of a type at most: they are in every snapshot.
const MAX_BYTES: usize = 8 << 10;

/// Returns encoded values of a type that have every field, every variant, and numbers as small and as great as they may
/// be. There are none where the type decides by the data what it is, or takes no made-up value.
pub(crate) fn samples<T: Element>() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut left = MAX_BYTES;
    for numbers in [Numbers::Small, Numbers::Least, Numbers::Greatest] {
        let mut tracer = Tracer::of_any(numbers);
        for _ in 0..MAX_RUNS {
            let more = match tracer.run::<T>() {
                Ok(value) => {
                    if let Some(sample) = encoded(&value)
                        && sample.len() <= left
                        && !samples.contains(&sample)
                    {
                        left -= sample.len();
                        samples.push(sample);
                    }
                    tracer.restart()
                }
                Err(Stop::Again) => true,
                Err(Stop::Rejected | Stop::Duplicate) => tracer.backtrack() || tracer.restart(),
            };
            if !more {
                break;
            }
        }
    }
    samples
}

/// Encodes a value, if its own type reads it again.
fn encoded<T: Element>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_to(value, &mut bytes).ok()?;
    reads_same::<T>(&bytes).ok().filter(|same| *same)?;
    Some(bytes)
}

/// Reads a sample as a value of this type, with the rules by which state is read.
pub(crate) fn reads<T: Element>(mut sample: &[u8]) -> Result<(), CoderError> {
    decode_strictly::<T>(&mut sample).map(drop)
}

/// Does the same, and tells whether the value is encoded as the sample.
pub(crate) fn reads_same<T: Element>(sample: &[u8]) -> Result<bool, CoderError> {
    let value: T = decode_strictly(&mut &*sample)?;
    let mut again = Vec::new();
    encode_to(&value, &mut again)?;
    Ok(again == sample)
}

/// Returns the name of a type without the paths in it.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let mut short = String::new();
    let mut word = String::new();
    for c in type_name::<T>().chars().chain(['\0']) {
        if c.is_alphanumeric() || c == '_' || c == ':' {
            word.push(c);
            continue;
        }
        short.push_str(word.rsplit("::").next().unwrap_or_default());
        word.clear();
        short.push(c);
    }
    short.pop();
    short
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Serialize, Deserialize)]
    enum Event {
        Began,
        Moved(f64, i32),
        Ended { after: Option<u64> },
    }

    #[derive(Clone, Serialize, Deserialize)]
    struct Visit {
        events: Vec<Event>,
        by: HashMap<String, u8>,
    }

    /// Tells whether what is written as an `A` is read as a `B`.
    fn goes<A: Element, B: Element>() -> bool {
        let samples = samples::<A>();
        assert!(!samples.is_empty(), "{}", type_name::<A>());
        samples.iter().all(|sample| reads::<B>(sample).is_ok())
    }

    #[test]
    fn numbers_may_become_wider_and_nothing_else() {
        assert!(goes::<u32, u64>() && goes::<u32, i64>() && goes::<i8, i128>());
        assert!(!goes::<u64, i64>() && !goes::<i64, u64>() && !goes::<u64, u32>());
        assert!(!goes::<u64, String>() && !goes::<String, u64>());
        assert!(goes::<f32, f64>() && goes::<u64, Option<u64>>() && !goes::<Option<u64>, u64>());
    }

    #[test]
    fn every_variant_and_every_field_is_seen() {
        assert!(goes::<Visit, Visit>() && goes::<Event, Event>());
        #[derive(Clone, Serialize, Deserialize)]
        enum Fewer {
            Began,
            Moved(f64, i32),
        }
        assert!(!goes::<Event, Fewer>() && goes::<Fewer, Event>());
        #[derive(Clone, Serialize, Deserialize)]
        struct Shorter {
            events: Vec<Event>,
        }
        #[derive(Clone, Serialize, Deserialize)]
        struct Longer {
            #[serde(default)]
            by: BTreeMap<String, u64>,
            #[serde(alias = "events")]
            steps: Vec<Event>,
            #[serde(default)]
            seen: bool,
        }
        assert!(!goes::<Visit, Shorter>() && !goes::<Shorter, Visit>());
        assert!(goes::<Visit, Longer>() && !goes::<Longer, Visit>());
    }

    #[test]
    fn what_decides_by_the_data_has_no_samples() {
        assert!(samples::<serde_json::Value>().is_empty());
    }

    #[test]
    fn a_name_has_no_paths() {
        let name = short_name::<BTreeMap<String, Vec<(u8, Option<Event>)>>>();
        assert_eq!(name, "BTreeMap<String, Vec<(u8, Option<Event>)>>");
        assert_eq!(short_name::<str>(), "str");
    }
}
