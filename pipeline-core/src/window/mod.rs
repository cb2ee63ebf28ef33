//! Windows: how a collection is divided along event time, and when its groups are emitted.
//!
//! - [`Window`] is one window: the global one, or an interval of event time.
//! - [`WindowFn`] puts elements into windows and merges windows: [`GlobalWindows`],
//!   [`FixedWindows`], [`SlidingWindows`], [`Sessions`], or your own.
//! - [`WindowInto`] collects what `window_into` takes: the function, the allowed lateness, the
//!   timestamp combiner and the accumulation mode. It becomes the collection's
//!   [`WindowingStrategy`].
//! - [`PaneInfo`] tells which firing of its window an element came from.
//!
//! Rules are cited from Apache Beam's programming guide (PG) and runner guide (RG).

mod fixed;
mod global;
pub(crate) mod groups;
mod interval;
mod pane;
mod sessions;
mod sliding;
mod span;
mod strategy;
mod window_fn;

pub use fixed::FixedWindows;
pub use global::GlobalWindows;
pub use interval::Window;
pub use pane::{PaneInfo, PaneTiming};
pub use sessions::Sessions;
pub use sliding::SlidingWindows;
pub use strategy::{AccumulationMode, TimestampCombiner, WindowInto, WindowingStrategy};
pub(crate) use window_fn::AnyWindowFn;
pub use window_fn::WindowFn;
