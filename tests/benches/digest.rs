//! Results as one number.

use std::fmt::Debug;
use std::hash::Hasher;

use twox_hash::XxHash64;

/// Returns a number that is the same for the same elements in any order.
pub fn digest<T: Ord + Debug>(mut elements: Vec<T>) -> u64 {
    elements.sort_unstable();
    let mut hasher = XxHash64::with_seed(0);
    for element in elements {
        hasher.write(format!("{element:?}\n").as_bytes());
    }
    hasher.finish()
}
