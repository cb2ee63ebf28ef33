//! Lays out whole conversations in time so that no two messages have the same second.

use std::collections::BTreeSet;
use std::sync::Arc;

use oorandom::Rand64;

use super::super::event_time::EventTime;

/// 2024-02-01T10:00:00Z, in seconds since 1970.
const EPOCH: i64 = 1_706_781_600;
/// The longest time between two messages of a conversation and between the starts of two conversations, in seconds.
const LONGEST_GAP: i64 = 60;
/// How many order ids have eight digits, and the first of them.
const ORDER_IDS: i64 = 90_000_000;
const FIRST_ORDER_ID: i64 = 10_000_000;
/// Has no factor in common with [`ORDER_IDS`], so that stepping by it meets every id once.
const ORDER_STEP: i64 = 55_623_059;

const COURIER_APP: &str = "Courier Android";
const CUSTOMER_APP: &str = "Customer iOS";

const CITIES: [&str; 20] = [
    "AMS", "BCN", "BER", "BUE", "CAI", "CPT", "IST", "LON", "MAD", "MEX", "MUM", "NYC", "PAR",
    "RIO", "ROM", "SAN", "SIN", "SYD", "TOK", "TOR",
];

const STAGES: [&str; 15] = [
    "ACCEPTED",
    "ARRIVED",
    "AWAITING_PICKUP",
    "CANCELLED",
    "COMPLETED",
    "DELAYED",
    "DELIVERED",
    "FAILED",
    "IN_PROGRESS",
    "IN_TRANSIT",
    "ON_ROUTE",
    "OUT_FOR_DELIVERY",
    "PENDING",
    "PROCESSING",
    "RETURNED",
];

/// Holds what the messages of a conversation share.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Party {
    order: i64,
    city: &'static str,
    courier: i64,
    customer: i64,
}

/// Holds one message to come; ordered by its time, in seconds since 1970, which no other has.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Planned {
    pub(super) time: i64,
    sent: EventTime,
    pub(super) first: bool,
    by_courier: bool,
    stage: &'static str,
    party: Arc<Party>,
}

impl Planned {
    /// Writes the message as the sample data does: the sender's id before, the other's after the order.
    pub(super) fn record(&self) -> String {
        let Party {
            order,
            courier,
            customer,
            ..
        } = *self.party;
        let (app, own, from, to, other, others) = if self.by_courier {
            (
                COURIER_APP,
                "courierId",
                courier,
                customer,
                "customerId",
                customer,
            )
        } else {
            (
                CUSTOMER_APP,
                "customerId",
                customer,
                courier,
                "courierId",
                courier,
            )
        };
        let time = self.sent;
        format!(
            "{{\"senderAppType\": \"{app}\", \"{own}\": {from}, \"fromId\": {from}, \"toId\": {to}, \
             \"chatStartedByMessage\": {first}, \"orderId\": {order}, \"orderStage\": \"{stage}\", \
             \"{other}\": {others}, \"messageSentTime\": \"{time}\"}}",
            first = self.first,
            stage = self.stage,
        )
    }

    /// Writes the order event that follows the first message.
    pub(super) fn order_event(&self) -> String {
        format!(
            "{{\"orderId\": {}, \"cityCode\": \"{}\"}}",
            self.party.order, self.party.city
        )
    }
}

/// Plans one conversation after the other.
pub(super) struct Planner {
    random: Rand64,
    conversations: u32,
    planned: u32,
    first_order: i64,
    last_start: i64,
    /// The seconds after the last start that are taken.
    taken: BTreeSet<i64>,
}

impl Planner {
    pub(super) fn new(seed: u64, conversations: u32) -> Self {
        let mut random = Rand64::new(u128::from(seed));
        let first_order = between(&mut random, 0, ORDER_IDS - 1);
        Self {
            random,
            conversations,
            planned: 0,
            first_order,
            last_start: EPOCH,
            taken: BTreeSet::new(),
        }
    }

    /// Gives the time after which all conversations not yet planned begin.
    pub(super) fn last_start(&self) -> i64 {
        self.last_start
    }

    /// Plans the next conversation; none when all are planned, or when it would not end before the year 10000.
    pub(super) fn plan(&mut self) -> Option<Vec<Planned>> {
        if self.planned == self.conversations {
            return None;
        }
        let party = Arc::new(self.party());
        self.planned += 1;
        let messages = between(&mut self.random, 2, 5);
        let mut by_courier = between(&mut self.random, 0, 1) == 0;
        let gaps: Vec<i64> = (0..messages)
            .map(|_| between(&mut self.random, 1, LONGEST_GAP))
            .collect();
        let times = self.times(&gaps);
        let sent: Vec<EventTime> = times
            .iter()
            .map(|time| EventTime::from_micros(time * 1_000_000))
            .collect::<Result<_, _>>()
            .ok()?;
        self.last_start = times[0];
        self.taken.extend(&times[1..]);
        self.taken = self.taken.split_off(&self.last_start);
        let conversation = times
            .into_iter()
            .zip(sent)
            .enumerate()
            .map(|(place, (time, sent))| {
                let stage = STAGES[between(&mut self.random, 0, STAGES.len() as i64 - 1) as usize];
                let planned = Planned {
                    time,
                    sent,
                    first: place == 0,
                    by_courier,
                    stage,
                    party: Arc::clone(&party),
                };
                by_courier = !by_courier;
                planned
            });
        Some(conversation.collect())
    }

    fn party(&mut self) -> Party {
        let number = i64::from(self.planned);
        // Past 90 million conversations the ids get nine digits and more.
        let order = (self.first_order + number % ORDER_IDS * ORDER_STEP) % ORDER_IDS
            + number / ORDER_IDS * ORDER_IDS;
        let courier = between(&mut self.random, 10_000_000, 99_999_999);
        // One smaller a range, shifted from the courier on, so that the two differ.
        let customer = between(&mut self.random, 10_000_000, 99_999_998);
        Party {
            order: FIRST_ORDER_ID + order,
            city: CITIES[between(&mut self.random, 0, CITIES.len() as i64 - 1) as usize],
            courier,
            customer: customer + i64::from(customer >= courier),
        }
    }

    /// Places the messages near the gaps drawn; a conversation that finds no place begins later.
    fn times(&self, gaps: &[i64]) -> Vec<i64> {
        let mut after = self.last_start;
        loop {
            let mut times = Vec::with_capacity(gaps.len());
            let mut previous = after;
            for &gap in gaps {
                match self.free(previous, gap) {
                    Some(time) => times.push(time),
                    None => break,
                }
                previous = times[times.len() - 1];
            }
            if times.len() == gaps.len() {
                return times;
            }
            after += LONGEST_GAP;
        }
    }

    /// Finds a second that is not taken: `gap` after `previous`, or else the next gap up, starting again from one.
    fn free(&self, previous: i64, gap: i64) -> Option<i64> {
        (0..LONGEST_GAP)
            .map(|step| previous + 1 + (gap - 1 + step) % LONGEST_GAP)
            .find(|time| !self.taken.contains(time))
    }
}

/// Draws a number from `low` to `high`, both included.
fn between(random: &mut Rand64, low: i64, high: i64) -> i64 {
    // The ranges above lie within 0 to 99,999,999.
    low + random.rand_range(0..(high - low + 1) as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_next_free_gap_and_begins_again_at_one() {
        let mut planner = Planner::new(0, 1);
        planner.taken = [EPOCH + 59, EPOCH + 60, EPOCH + 1].into();
        assert_eq!(planner.free(EPOCH, 58), Some(EPOCH + 58));
        assert_eq!(planner.free(EPOCH, 59), Some(EPOCH + 2));
    }

    #[test]
    fn begins_later_where_a_minute_is_taken() {
        let mut planner = Planner::new(0, 1);
        planner.taken = (EPOCH + 11..=EPOCH + 70).collect();
        // 10 s after the start all sixty gaps are taken; from the second minute on 70 s + 10 s are free.
        assert_eq!(planner.times(&[10, 5]), [EPOCH + 60 + 11, EPOCH + 60 + 16]);
    }

    #[test]
    fn ends_with_the_year_9999() {
        let mut planner = Planner::new(0, u32::MAX);
        planner.last_start = 253_402_300_799 - 1_000;
        let planned = std::iter::from_fn(|| planner.plan()).count();
        assert!((10..=200).contains(&planned), "{planned}");
    }
}
