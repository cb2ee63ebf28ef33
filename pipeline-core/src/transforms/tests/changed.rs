//! What may change about a type whose values are in a snapshot, and what is refused.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::batch::Stamp;
use crate::coder::Element;
use crate::do_fn::Out;
use crate::error::{BoxError, Result};
use crate::graph::{Kind, Progress};
use crate::state::{EventTimer, StateContext, ValueCell};
use crate::time::Timestamp;
use crate::transforms::StatefulDoFn;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Before {
    count: u32,
    name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WithDefault {
    name: String,
    #[serde(default)]
    seen: Vec<u8>,
    count: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WithoutDefault {
    count: u32,
    name: String,
    seen: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Renamed {
    count: u32,
    #[serde(default)]
    names: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OtherType {
    count: String,
    name: String,
}

/// Keeps a value until the end.
#[derive(Clone)]
struct Keep<T> {
    value: ValueCell<T>,
    end: EventTimer,
}

impl<T: Element + Debug> StatefulDoFn for Keep<T> {
    type Key = u8;
    type Value = T;
    type Outputs = Out<(u8, Vec<T>)>;

    fn process(
        &mut self,
        _key: &u8,
        value: T,
        state: &mut StateContext<'_>,
        _out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        self.value.write(state, value);
        self.end.set(state, Timestamp::END_OF_GLOBAL_WINDOW);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u8,
        _timer: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit((*key, self.value.take(state).into_iter().collect()));
        Ok(())
    }
}

fn stage<T: Element + Debug>(kind: Kind) -> Stage {
    Stage::new(kind, |p| {
        let pairs = p.create("In", Vec::<(u8, T)>::new());
        if kind == Kind::GroupByKey {
            let _ = pairs.group_by_key("Keep");
        } else {
            let _ = pairs.par_do_stateful("Keep", |cells| Keep {
                value: cells.value("value"),
                end: cells.event_timer("end"),
            });
        }
    })
}

/// Saves a value as it was before, and returns what becomes of it as an `A`.
fn becomes<A: Element + Debug>(kind: Kind) -> Result<String> {
    let show = |(_, values): (u8, Vec<Before>)| format!("{values:?}");
    let mut life = stage::<Before>(kind).start::<u8, Before, _>(1, show);
    let value = Before {
        count: 5,
        name: "ann".to_owned(),
    };
    life.push(0, 1, value, Stamp::ROOT);
    life.end_bundle(Progress::START);
    let show = |(_, values): (u8, Vec<A>)| format!("{values:?}");
    let mut after = stage::<A>(kind).start::<u8, A, _>(1, show);
    after.load(&life.save())?;
    after.end_bundle(Progress::ENDED);
    let emitted = after.emitted.take();
    assert_eq!(emitted.len(), 1);
    Ok(emitted[0].0.clone())
}

#[test]
fn a_new_field_needs_a_default_and_none_may_go() {
    for (kind, path) in [
        (Kind::GroupByKey, "'Keep/Group'"),
        (Kind::StatefulParDo, "'Keep/Process'"),
    ] {
        assert_eq!(
            becomes::<WithDefault>(kind).unwrap(),
            "[WithDefault { name: \"ann\", seen: [], count: 5 }]"
        );
        let refused = |result: Result<String>, why: &str| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(path) && message.contains(why), "{message}");
            assert!(message.contains("--drain"), "{message}");
        };
        refused(becomes::<WithoutDefault>(kind), "missing field `seen`");
        refused(becomes::<Renamed>(kind), ".name (");
        refused(becomes::<Renamed>(kind), "knows no such field");
        refused(becomes::<OtherType>(kind), ".count (");
    }
}
