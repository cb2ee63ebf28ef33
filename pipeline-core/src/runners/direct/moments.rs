//! What tests of crashes ask of the engine: where one can come, and which rule is broken on purpose.

/// Where a crash can come in a test; see [`DirectRunner::at_moments`](super::DirectRunner).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Moment {
    /// The run has begun, and a sink is about to recover; once for each.
    Recovering,
    /// Everything rests, and the sinks have prepared.
    Prepared,
    /// The snapshot is written, and not yet under its name.
    Written,
    /// The snapshot is durable.
    Durable,
    /// The sinks have committed.
    Committed,
    /// The run has ended, and a sink is about to finish; once for each.
    Finishing,
    /// All sinks have finished.
    Finished,
    /// The folder says that the run has finished.
    Marked,
}

/// A rule of the order that is broken on purpose, so that a test can show that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Disorder {
    /// Exchange messages under way are not waited for.
    LeaveMessages,
    /// Sinks prepare behind the snapshot, which lacks what they have prepared.
    PrepareLate,
    /// Positions of sources are not saved.
    ForgetPositions,
    /// Sinks commit before the snapshot is durable.
    CommitFirst,
    /// What a crash left uncommitted is not committed by the next run.
    ForgetCommit,
    /// Sources are acknowledged before the snapshot is durable.
    AcknowledgeFirst,
    /// Sources are acknowledged when the snapshot is durable, and the sinks commit later.
    CommitLate,
    /// The folder says that the run has finished before the sinks have.
    MarkFirst,
}
