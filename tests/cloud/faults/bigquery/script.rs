//! What is to fail, and what was called.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::Code;

/// The calls of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    GetTable,
    InsertTable,
    PatchTable,
    Query,
    QueryResults,
    InsertAll,
    BeginUpload,
    Upload,
    GetJob,
    CreateStream,
    GetStream,
    /// One request of the stream.
    Append,
    Flush,
    Finalize,
    Commit,
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// With this status, and without effect; a stream of requests ends with it.
    Fail(Code),
    /// With this status in the answer to a request, and without effect; the stream of requests goes on.
    Answer(Code),
    /// With this status of HTTP and this reason, and without effect.
    Http(u16, &'static str),
    /// Well, but later.
    Delay(Duration),
    /// Never.
    Silence,
    /// With an effect, and an answer that does not arrive.
    LoseAnswer,
}

/// What is to fail, and what was called.
#[derive(Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
    called: BTreeMap<Call, u32>,
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
        let before = self.called.get(&call).copied().unwrap_or_default();
        let numbers = numbers.into_iter().map(|number| before + number).collect();
        self.rules.push(Rule {
            call,
            numbers,
            action,
        });
    }

    pub(super) fn always(&mut self, call: Call, action: Action) {
        let numbers = BTreeSet::new();
        self.rules.push(Rule {
            call,
            numbers,
            action,
        });
    }

    pub(super) fn calls(&self, call: Call) -> usize {
        self.called.get(&call).copied().unwrap_or_default() as usize
    }

    /// Takes note of a call, and says how it is to end.
    pub(super) fn next(&mut self, call: Call) -> Option<Action> {
        let number = self.called.entry(call).or_default();
        *number += 1;
        let number = *number;
        let fits = |rule: &&Rule| {
            rule.call == call && (rule.numbers.is_empty() || rule.numbers.contains(&number))
        };
        self.rules.iter().find(fits).map(|rule| rule.action)
    }
}
