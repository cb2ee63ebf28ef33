use std::time::Duration;

use super::*;
use crate::coder::{Element, Key};
use crate::do_fn::Out;
use crate::error::BoxError;
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::state::{StateCells, StateContext};
use crate::transforms::{CombineFn, StatefulDoFn};
use crate::window::{AccumulationMode, FixedWindows, Sessions, TimestampCombiner, WindowInto};

#[derive(Clone)]
struct Nothing;

impl StatefulDoFn for Nothing {
    type Key = String;
    type Value = u64;
    type Outputs = Out<(String, u64)>;

    fn process(
        &mut self,
        key: &String,
        value: u64,
        _state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit((key.clone(), value));
        Ok(())
    }
}

/// What can be changed about the pipeline.
struct Plan {
    map: &'static str,
    more_map: bool,
    source: &'static str,
    windows: WindowInto,
    meet: &'static str,
    declare: fn(&mut StateCells),
    group: &'static str,
    /// What is done at the end, by key.
    end: End,
    /// What values become before that, and keys.
    keys: Keys,
    sinks: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum End {
    Group,
    Sum,
    Count,
    Max,
    Min,
    Mean,
    Average,
}

#[derive(Clone, Copy)]
enum Keys {
    Text,
    Unsigned,
    Wider,
    Signed,
}

/// The mean of numbers, under two names.
#[derive(Clone)]
struct Mean;

#[derive(Clone)]
struct Average(&'static str);

macro_rules! mean {
    ($name:ident $(, $named:expr)?) => {
        impl CombineFn for $name {
            type Input = u64;
            type Accumulator = (u64, u64);
            type Output = u64;
            fn create_accumulator(&self) -> (u64, u64) {
                (0, 0)
            }
            fn add_input(&self, (sum, count): &mut (u64, u64), input: u64) {
                *sum += input;
                *count += 1;
            }
            fn merge_accumulators(&self, (sum, count): &mut (u64, u64), other: (u64, u64)) {
                *sum += other.0;
                *count += other.1;
            }
            fn extract_output(&self, (sum, count): (u64, u64)) -> u64 {
                sum / count
            }
            $(fn name(&self) -> String {
                $named(self)
            })?
        }
    };
}

mean!(Mean);
mean!(Average, |average: &Average| average.0.to_owned());

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn plan() -> Plan {
    Plan {
        map: "Parse",
        more_map: false,
        source: "Lines",
        windows: WindowInto::from(FixedWindows::of(minutes(1))),
        meet: "Meet",
        declare: |cells| {
            let _ = cells.value::<u64>("last");
            let _ = cells.bag::<u64>("waiting");
            let _ = cells.event_timer("end");
        },
        group: "Sum",
        end: End::Sum,
        keys: Keys::Text,
        sinks: &["Out"],
    }
}

fn printed(plan: Plan) -> Vec<NodePrint> {
    let pipeline = Pipeline::build(|p| {
        let lines = p.create(plan.source, vec!["a".to_owned()]);
        let mut pairs = lines.map(plan.map, |line| (line, 1_u64));
        if plan.more_map {
            pairs = pairs.map("More", |pair| pair);
        }
        let met = pairs
            .window_into("Window", plan.windows.clone())
            .par_do_stateful(plan.meet, |cells| {
                (plan.declare)(cells);
                Nothing
            });
        let results = match plan.keys {
            Keys::Text => ended(&met, &plan),
            Keys::Unsigned => ended(&met.map("Key", |(_, n)| (n as u32, n)), &plan),
            Keys::Wider => ended(&met.map("Key", |(_, n)| (n, n)), &plan),
            Keys::Signed => ended(&met.map("Key", |(_, n)| (n as i64, n)), &plan),
        };
        for sink in plan.sinks {
            results.write(sink, crate::sink::TextSink::lines(format!("/tmp/{sink}")));
        }
    });
    prints(pipeline.unwrap().graph())
}

fn ended<K: Key + std::fmt::Debug>(
    pairs: &PCollection<(K, u64)>,
    plan: &Plan,
) -> PCollection<String> {
    fn shown<T: Element + std::fmt::Debug>(of: PCollection<T>) -> PCollection<String> {
        of.map("Debug", |pair| format!("{pair:?}"))
    }
    match plan.end {
        End::Group => shown(pairs.group_by_key(plan.group)),
        End::Sum => shown(pairs.sum_per_key(plan.group)),
        End::Count => shown(pairs.count_per_key(plan.group)),
        End::Max => shown(pairs.max_per_key(plan.group)),
        End::Min => shown(pairs.min_per_key(plan.group)),
        End::Mean => shown(pairs.combine_per_key(plan.group, Mean)),
        End::Average => shown(pairs.combine_per_key(plan.group, Average("Mean"))),
    }
}

fn between(before: Plan, now: Plan) -> Result<()> {
    compare(&snapshot_of(before), &printed(now), 42)
}

/// What is read from a snapshot of a pipeline.
fn snapshot_of(plan: Plan) -> Vec<NodePrint> {
    let mut bytes = Vec::new();
    crate::coder::encode_to(&printed(plan), &mut bytes).unwrap();
    crate::coder::decode(&mut &bytes[..]).unwrap()
}

fn refusal(now: Plan) -> String {
    let refused = between(plan(), now);
    refused.unwrap_err().to_string()
}

fn reasons(now: Plan) -> Vec<String> {
    let refusal = refusal(now);
    let lines = refusal.lines().filter_map(|line| line.strip_prefix("  - "));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_can_hold_state_is_printed() {
    let prints = printed(plan());
    let shown: Vec<_> = prints
        .iter()
        .map(|p| (p.path.as_str(), p.kind.as_str()))
        .collect();
    let expected = [
        ("Lines", "a source"),
        ("Meet/Process", "a stateful function"),
        ("Sum/Merge", "a combine"),
        ("Out", "a sink"),
    ];
    assert_eq!(shown, expected);
    // It goes into snapshots and comes out again.
    let mut bytes = Vec::new();
    crate::coder::encode_to(&prints, &mut bytes).unwrap();
    let decoded: Vec<NodePrint> = crate::coder::decode(&mut &bytes[..]).unwrap();
    assert_eq!(decoded, prints);
}

#[test]
fn what_holds_no_state_may_change() {
    let allowed = [
        plan(),
        Plan {
            map: "Split",
            ..plan()
        },
        Plan {
            more_map: true,
            ..plan()
        },
        Plan {
            sinks: &["Out", "More"],
            ..plan()
        },
        Plan {
            declare: |cells| {
                let _ = cells.event_timer("more");
                let _ = cells.bag::<u64>("waiting");
                let _ = cells.value::<String>("new");
                let _ = cells.event_timer("end");
                let _ = cells.value::<u64>("last");
            },
            ..plan()
        },
    ];
    for (number, now) in allowed.into_iter().enumerate() {
        let compared = between(plan(), now);
        assert!(compared.is_ok(), "{number}: {compared:?}");
    }
}

#[test]
fn a_node_with_state_may_not_go_or_be_renamed() {
    let refusal = refusal(Plan {
        meet: "Join",
        ..plan()
    });
    let expected = "the pipeline cannot go on from snapshot 42, which another one has written:\n  \
        - 'Meet/Process', a stateful function, is in the snapshot and not in the pipeline; it \
        looks renamed to 'Join/Process': keep its name\n\
        finish it with the program that wrote it (--drain), or give another folder for snapshots";
    assert_eq!(refusal, expected);
    let of = |now| reasons(now).join("\n");
    let renamed = |was: &str, is: &str| {
        format!(
            "'{was}, is in the snapshot and not in the pipeline; it looks renamed to '{is}': keep its name"
        )
    };
    assert_eq!(
        of(Plan {
            source: "In",
            ..plan()
        }),
        renamed("Lines', a source", "In")
    );
    assert_eq!(
        of(Plan {
            group: "Add",
            ..plan()
        }),
        renamed("Sum/Merge', a combine", "Add/Merge")
    );
    assert_eq!(
        of(Plan {
            sinks: &["To"],
            ..plan()
        }),
        renamed("Out', a sink", "To")
    );
    let gone = "'Out', a sink, is in the snapshot and not in the pipeline; put it back";
    assert_eq!(
        of(Plan {
            sinks: &[],
            ..plan()
        }),
        gone
    );
    assert_eq!(
        reasons(Plan {
            end: End::Group,
            ..plan()
        }),
        [
            "'Sum/Merge', a combine, is in the snapshot and not in the pipeline; put it back",
            "'Sum/Group', a group_by_key, is new: it would know nothing of what came before",
        ]
    );
}

#[test]
fn windowing_may_not_change() {
    let of = |windows: WindowInto| reasons(Plan { windows, ..plan() });
    let fixed = |count| WindowInto::from(FixedWindows::of(minutes(count)));
    assert_eq!(
        of(fixed(2)),
        [
            "'Meet/Process': windows was FixedWindows of 1m, and is FixedWindows of 2m",
            "'Sum/Merge': windows was FixedWindows of 1m, and is FixedWindows of 2m",
        ]
    );
    // To the millisecond: the text of a window function leaves nothing out.
    let ms = Duration::from_millis;
    for other in [
        FixedWindows::of(ms(60_001)),
        FixedWindows::of(minutes(1)).offset(ms(1)),
    ] {
        assert_eq!(of(other.into()).len(), 2, "{other:?}");
    }
    assert_eq!(
        of(fixed(1).allowed_lateness(minutes(1))),
        [
            "'Meet/Process': allowed lateness was 0 ms, and is 60000 ms",
            "'Sum/Merge': allowed lateness was 0 ms, and is 60000 ms",
        ]
    );
    // A stateful function knows neither combiners nor panes.
    assert_eq!(
        of(fixed(1).timestamp_combiner(TimestampCombiner::Latest)),
        ["'Sum/Merge': timestamp combiner was EndOfWindow, and is Latest"]
    );
    assert_eq!(
        of(fixed(1).accumulation(AccumulationMode::Accumulating)),
        ["'Sum/Merge': accumulation was Discarding, and is Accumulating"]
    );
}

#[test]
fn sessions_that_merged_before_are_others() {
    let of = |twice: bool| {
        let pipeline = Pipeline::build(|p| {
            let pairs = p.create("In", vec![(1_u64, 1_u64)]);
            let mut pairs = pairs.window_into("Window", Sessions::with_gap(minutes(1)));
            if twice {
                pairs = pairs.sum_per_key("First");
            }
            let _ = pairs.group_by_key("Group");
        });
        let prints = prints(pipeline.unwrap().graph());
        prints
            .into_iter()
            .filter(|print| print.path == "Group/Group")
            .collect::<Vec<_>>()
    };
    assert!(compare(&of(true), &of(true), 1).is_ok());
    let refused = compare(&of(true), &of(false), 1).unwrap_err().to_string();
    assert!(
        refused.contains("as merged before, and is Sessions"),
        "{refused}"
    );
}

#[test]
fn cells_and_timers_may_not_go_or_change_their_kind() {
    let now = Plan {
        declare: |cells| {
            let _ = cells.bag::<u64>("last");
            let _ = cells.event_timer("until");
        },
        ..plan()
    };
    assert_eq!(
        reasons(now),
        [
            "'Meet/Process': its cell 'last' was a value, and is a bag",
            "'Meet/Process': its cell 'waiting' is in the snapshot and not in the pipeline; keep \
             it, under its name",
            "'Meet/Process': its timer 'end' is in the snapshot and not in the pipeline; keep it, \
             under its name",
        ]
    );
}

#[test]
fn what_combines_may_not_change() {
    let of = |before, now| {
        let plan = |end| Plan { end, ..plan() };
        between(plan(before), plan(now)).map_err(|error| error.to_string())
    };
    let refused = of(End::Count, End::Sum).unwrap_err();
    assert!(
        refused.contains("'Sum/Merge': its CombineFn was 'count', and is 'sum'; if it is the same"),
        "{refused}"
    );
    assert!(!refused.contains("accumulator"), "{refused}");
    assert!(of(End::Max, End::Min).is_err(), "of the same shape");
    let refused = of(End::Sum, End::Mean).unwrap_err();
    assert!(refused.contains("is 'Mean'"), "{refused}");
    // Renamed, and it says so.
    assert!(of(End::Mean, End::Average).is_ok());
}

#[test]
fn keys_are_encoded_as_they_were() {
    let of = |before, now| {
        let plan = |keys| Plan { keys, ..plan() };
        between(plan(before), plan(now)).map_err(|error| error.to_string())
    };
    let refused = of(Keys::Unsigned, Keys::Text).unwrap_err();
    assert!(
        refused.contains("'Sum/Merge': its key was u32, and is String ("),
        "{refused}"
    );
    assert!(!refused.contains("alloc::"), "{refused}");
    assert!(of(Keys::Wider, Keys::Signed).is_err());
    assert!(of(Keys::Unsigned, Keys::Signed).is_err());
    assert!(of(Keys::Wider, Keys::Unsigned).is_err());
    // The encoding of an unsigned number does not tell its width.
    assert!(of(Keys::Unsigned, Keys::Wider).is_ok());
}

#[test]
fn what_a_cell_holds_may_grow() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Seen {
        times: u32,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct SeenBy {
        times: u64,
        #[serde(default)]
        by: Vec<String>,
    }
    fn declare<T: Element>(cells: &mut StateCells) {
        let _ = cells.value::<T>("seen");
    }
    let of = |before: fn(&mut StateCells), now: fn(&mut StateCells)| {
        let plan = |declare| Plan { declare, ..plan() };
        between(plan(before), plan(now)).map_err(|error| error.to_string())
    };
    assert!(of(declare::<Seen>, declare::<SeenBy>).is_ok());
    let refused = of(declare::<SeenBy>, declare::<Seen>).unwrap_err();
    assert!(
        refused.contains("'Meet/Process': its cell 'seen' was SeenBy, and is Seen (at .by: ")
            || refused
                .contains("'Meet/Process': its cell 'seen' was SeenBy, and is Seen (at .times: "),
        "{refused}"
    );
    assert!(of(declare::<u64>, declare::<String>).is_err());
    assert!(of(declare::<u64>, declare::<i64>).is_err());
    assert!(of(declare::<u32>, declare::<i64>).is_ok());
}

#[test]
fn a_snapshot_of_an_earlier_program_says_less_and_is_taken() {
    #[derive(Serialize)]
    struct Earlier<'a> {
        path: &'a str,
        kind: &'a str,
        windows: &'a [(String, String)],
        cells: &'a [(String, String)],
        timers: &'a [String],
    }
    let now = printed(plan());
    let earlier: Vec<Earlier<'_>> = now
        .iter()
        .map(|print| Earlier {
            path: &print.path,
            kind: &print.kind,
            windows: &print.windows,
            cells: &print.cells,
            timers: &print.timers,
        })
        .collect();
    let mut bytes = Vec::new();
    crate::coder::encode_to(&earlier, &mut bytes).unwrap();
    let earlier: Vec<NodePrint> = crate::coder::decode(&mut &bytes[..]).unwrap();
    assert!(compare(&earlier, &now, 1).is_ok());
}
