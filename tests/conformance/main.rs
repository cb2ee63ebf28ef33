//! The model: what the engine does with windows, state, timers and watermarks, against the rules.
//!
//! - `oracle`: the rules of grouping, recomputed naively; `programs` and `random_programs` hold
//!   the engine against it.
//! - `windows`, `state`, `watermarks`, `lifting`, `combine_into`: one rule each test.
//! - `replay`: seeds, the mode that encodes every edge, the law of keys.

mod combine_into;
mod lifting;
mod oracle;
mod programs;
mod random_programs;
mod replay;
mod state;
mod support;
mod watermarks;
mod windows;
