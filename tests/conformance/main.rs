//! The model: what the engine does with windows, state, timers and watermarks, against the rules.
//!
//! - `oracle`: the rules of grouping, recomputed naively; `programs` and `random_programs` hold
//!   the engine against it.
//! - `random_state`: state and timers against a model, in memory and on disk.
//! - `windows`, `state`, `watermarks`, `lifting`, `combine_into`: one rule each test.
//! - `transforms`: the values of the other transforms.
//! - `replay`: seeds, the mode that encodes every edge, the law of keys; `lossy`: types that serde
//!   does not carry whole.
//!
//! # Mutations that survive, and why
//!
//! Windows, groups and timers were mutated, by hand and by a tool, against these tests and those
//! beside the code. What survives changes nothing that can be seen:
//!
//! - `groups/aligned.rs`, how many emptied tables are kept: only memory is asked for more often.
//! - `groups/mod.rs`, `advance` by a watermark that is not new: what it lets fire has fired.
//! - `groups/merging.rs`, to look for two equal windows before any has moved: there are none.
//! - `groups/merging.rs`, the order of windows that begin together: no window of a key is inside
//!   another, or the `WindowFn` has broken its contract.
//!
//! `state/cells.rs`, `state/key_table.rs`, `state/fold_table.rs`, `window/pane.rs` and the window
//! functions have not been mutated by the tool.

mod combine_into;
mod lifting;
mod lossy;
mod oracle;
mod programs;
mod random_programs;
mod random_state;
mod replay;
mod state;
mod support;
mod transforms;
mod watermarks;
mod windows;
