//! What is to fail, and what was called.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::Code;

/// The calls of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    CreateTopic,
    CreateSubscription,
    GetSubscription,
    Publish,
    StreamingPull,
    Acknowledge,
    /// A deadline of zero.
    Nack,
    /// Any other deadline.
    Extend,
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// With this status, and without effect.
    Fail(Code),
    /// Well, but later.
    Delay(Duration),
    /// Never.
    Silence,
    /// With an effect, and an answer that does not arrive.
    LoseAnswer,
    /// The first acknowledgement of an exactly-once subscription fails with this reason, the others go well.
    FailAcks(&'static str),
    /// A stream ends with a status after so many messages.
    CutAfter(usize, Code),
    /// A stream brings everything twice.
    Twice,
}

/// What a call said.
pub(super) type Said = Vec<String>;

/// What is to fail, and what was called.
#[derive(Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
    called: BTreeMap<Call, Vec<Said>>,
    /// What was called when the rules were made.
    heard: BTreeMap<Call, u32>,
}

struct Rule {
    call: Call,
    /// Which calls; all if it is empty.
    numbers: BTreeSet<u32>,
    action: Action,
}

impl Script {
    pub(super) fn add(
        &mut self,
        call: Call,
        numbers: impl IntoIterator<Item = u32>,
        action: Action,
    ) {
        let before = self.heard.get(&call).copied().unwrap_or_default();
        let numbers = numbers.into_iter().map(|number| before + number).collect();
        let rule = Rule {
            call,
            numbers,
            action,
        };
        self.rules.push(rule);
    }

    pub(super) fn always(&mut self, call: Call, action: Action) {
        let numbers = BTreeSet::new();
        self.rules.push(Rule {
            call,
            numbers,
            action,
        });
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
    }

    fn rule(&self, call: Call, number: u32) -> Option<Action> {
        let fits = |rule: &&Rule| {
            rule.call == call && (rule.numbers.is_empty() || rule.numbers.contains(&number))
        };
        self.rules.iter().find(fits).map(|rule| rule.action)
    }

    /// Takes note of a call, and says how it is to end.
    pub(super) fn next(&mut self, call: Call, said: Said) -> Option<Action> {
        self.called.entry(call).or_default().push(said);
        let number = self.heard.entry(call).or_default();
        *number += 1;
        let number = *number;
        self.rule(call, number)
    }

    /// Says how the acknowledgements of the call to come are to fail.
    pub(super) fn ack_failure(&self, call: Call) -> Option<&'static str> {
        let number = self.heard.get(&call).copied().unwrap_or_default() + 1;
        match self.rule(call, number) {
            Some(Action::FailAcks(reason)) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn calls(&self, call: Call) -> usize {
        self.called.get(&call).map_or(0, Vec::len)
    }

    pub(super) fn journal(&self, call: Call) -> Vec<Said> {
        self.called.get(&call).cloned().unwrap_or_default()
    }
}
