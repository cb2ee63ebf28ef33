//! Counts what a subscription has done.

/// Counts what a subscription has done since it was created, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken in.
    pub published: u64,
    /// Deliveries, redeliveries included.
    pub delivered: u64,
    /// Deliveries of a message that had been delivered before.
    pub redelivered: u64,
    /// Deliveries acknowledged in time.
    pub acknowledged: u64,
    /// Acknowledgements passed over: the deadline had passed, or the ack id was never given out.
    pub late_acknowledgements: u64,
    /// Deliveries that are out now: not acknowledged, not given back, deadline not passed.
    pub outstanding: u64,
    /// Deliveries that wait to be pulled now.
    pub undelivered: u64,
    /// The bytes of all messages held now, with their overhead.
    pub backlog_bytes: u64,
}
