//! The mean of whole numbers.

use pipeline_core::prelude::*;

/// Computes the mean, rounded down.
#[derive(Clone)]
pub struct Mean;

impl CombineFn for Mean {
    type Input = i64;
    type Accumulator = (i64, i64);
    type Output = i64;

    fn create_accumulator(&self) -> (i64, i64) {
        (0, 0)
    }

    fn add_input(&self, (sum, count): &mut (i64, i64), value: i64) {
        *sum += value;
        *count += 1;
    }

    fn merge_accumulators(&self, (sum, count): &mut (i64, i64), other: (i64, i64)) {
        *sum += other.0;
        *count += other.1;
    }

    fn extract_output(&self, (sum, count): (i64, i64)) -> i64 {
        sum.div_euclid(count.max(1))
    }
}
