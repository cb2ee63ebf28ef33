//! Refuses, when the pipeline is built, types that are no good as keys.

use std::{any::type_name, error, fmt};

use super::{
    Key, encode_to,
    shape::{Problem, Stop, Tracer},
};

/// How often a key's `Deserialize` is run at most, in walking its shape and in comparing samples.
const MAX_RUNS: usize = 4_000;
const MAX_SAMPLES: usize = 2_000;

/// Tells why a type cannot be a key: the part, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRefusal(Box<Detail>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    key: &'static str,
    place: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Shape(Problem),
    /// Two values that are equal encode differently.
    Equality,
}

/// Checks that the encoding of a key is a function of equality, as far as its serde shape tells.
///
/// It runs `K`'s `Deserialize` with made-up input, so that it sees every field and every variant, and refuses
/// - floats (within a wrapper that is `Eq + Hash`: 0.0 equals −0.0, but they encode differently),
/// - maps that are not known to be ordered, and hashed sets (`IndexMap` and `IndexSet` too: their equality ignores order),
/// - parts that decide by the data what they are: `serde_json::Value`, `#[serde(untagged)]`, `#[serde(tag = "…")]`,
/// - texts that are equal but encode differently, such as `chrono::DateTime<FixedOffset>`, found by comparing samples.
///
/// A leaf that validates its input is tried with several texts, lengths and numbers. If it accepts none of them the
/// walk cannot see what stands behind it, and what cannot be seen is accepted; so are recursive types once every
/// variant has been seen. The check costs microseconds for ordinary keys, some milliseconds at most.
///
/// # Errors
/// The refusal names the type, the part, and what to use instead.
///
/// ```
/// use pipeline_core::coder::check_key;
///
/// assert!(check_key::<(String, u64)>().is_ok());
/// assert!(check_key::<serde_json::Value>().is_err());
/// ```
pub fn check_key<K: Key>() -> Result<(), KeyRefusal> {
    let refusal = |place: &str, reason| {
        Err(KeyRefusal(Box::new(Detail {
            key: type_name::<K>(),
            place: place.into(),
            reason,
        })))
    };
    let mut tracer = Tracer::default();
    let mut samples = 0;
    for _ in 0..MAX_RUNS {
        let run = tracer.run::<K>();
        if let Some((problem, place)) = tracer.problem() {
            return refusal(place, Reason::Shape(problem.clone()));
        }
        match run {
            Ok(_) => {
                if let Some(place) = equal_but_different::<K>(&mut tracer, &mut samples) {
                    return refusal(&place, Reason::Equality);
                }
                if !tracer.restart() {
                    break;
                }
            }
            Err(Stop::Again) => {}
            Err(Stop::Rejected | Stop::Duplicate) => {
                if !tracer.backtrack() && !tracer.restart() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Varies each text of the last run and returns the place of one where equal keys have different encodings.
fn equal_but_different<K: Key>(tracer: &mut Tracer, samples: &mut usize) -> Option<String> {
    for (index, alternatives, place) in tracer.texts() {
        let mut keys: Vec<(K, Vec<u8>)> = Vec::new();
        for at in 0..alternatives {
            *samples += 1;
            if *samples > MAX_SAMPLES {
                return None;
            }
            let Some(key) = tracer.vary::<K>(index, at) else {
                continue;
            };
            let mut encoding = Vec::new();
            if encode_to(&key, &mut encoding).is_err() {
                continue;
            }
            if keys
                .iter()
                .any(|(other, bytes)| *bytes != encoding && *other == key)
            {
                return Some(place);
            }
            keys.push((key, encoding));
        }
    }
    None
}

impl fmt::Display for KeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { key, place, reason } = &*self.0;
        write!(f, "{key} cannot be a key: ")?;
        if !place.is_empty() {
            write!(f, "at {place} ")?;
        }
        match reason {
            Reason::Shape(Problem::Float(float)) => {
                write!(
                    f,
                    "it holds an {float}, and equal floats can have different bytes (0.0 and -0.0); "
                )?;
                f.write_str("use an integer: cents instead of euros, or to_bits()")
            }
            Reason::Shape(Problem::Map(map)) => {
                write!(
                    f,
                    "it holds a {map}, a map whose order does not follow from equality; "
                )?;
                f.write_str("use a BTreeMap, or a Vec of pairs that is sorted when it is made; ")?;
                f.write_str("in a struct with #[serde(flatten)], write the flattened fields out")
            }
            Reason::Shape(Problem::Sequence(set)) => {
                write!(
                    f,
                    "it holds a {set}, whose order does not follow from equality; "
                )?;
                f.write_str("use a BTreeSet, or a Vec that is sorted when it is made")
            }
            Reason::Shape(Problem::SelfDescribing(part)) => {
                write!(
                    f,
                    "it holds a part whose kind depends on the data ({part}), which may be a float or a map; "
                )?;
                f.write_str(
                    "use a struct or an enum without #[serde(untagged)] and #[serde(tag)], ",
                )?;
                f.write_str("or key by its text (to_string())")
            }
            Reason::Equality => {
                f.write_str("two texts make values that are equal but encode differently; ")?;
                f.write_str(
                    "bring the value into one form when it is made: DateTime<Utc> instead of ",
                )?;
                f.write_str(
                    "DateTime<FixedOffset>, lower case instead of a comparison that ignores case",
                )
            }
        }
    }
}

impl error::Error for KeyRefusal {}
