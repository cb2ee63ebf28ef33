//! What ordinary programs use: `use pipeline_core::prelude::*;`.

pub use crate::runners::direct::{DirectRunner, End, RunResult, Snapshots};
pub use crate::sink::{Rejected, Sink, TextSink, WriteBatch, Writer};
pub use crate::source::{ReadBatch, ReadContext, ReadStatus, Reader, Source, Text};
pub use crate::state::{BagCell, EventTimer, StateCells, StateContext, ValueCell};
pub use crate::window::{
    AccumulationMode, FixedWindows, GlobalWindows, Sessions, SlidingWindows, TimestampCombiner,
    WindowFn, WindowInto,
};
pub use crate::{
    BadRecord, BoxError, CoGrouped, CombineFn, Count, DoFn, Element, ElementContext, Error,
    Failure, Key, Keyed, Out, Outcome, PCollection, PTransform, Pipeline, StatefulDoFn, Timestamp,
};
