//! The transforms: one verb, one file, with the operator that serves it.
//!
//! Each verb is a method of [`PCollection`](crate::PCollection). Element-wise verbs work a batch
//! at a time and pass it on; grouping verbs are an exchange by key, then the grouping itself.

mod co_group_by_key;
mod combine;
mod combine_into;
mod count;
mod exchange;
mod filter;
mod filter_map;
mod flat_map;
mod flatten;
mod group_by_key;
mod grouping;
mod key_by;
mod key_law;
mod keys;
mod lift;
mod map;
mod min_max;
mod par_do;
mod redistribute_by_key;
mod reshuffle;
mod stateful;
mod sum;
mod try_map;
mod window_into;
mod with_timestamps;

pub use co_group_by_key::CoGrouped;
pub use combine::CombineFn;
pub use combine_into::Keyed;
pub use count::Count;
pub use stateful::StatefulDoFn;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
