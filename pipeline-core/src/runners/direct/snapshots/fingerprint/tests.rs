use std::time::Duration;

use super::*;
use crate::do_fn::Out;
use crate::error::BoxError;
use crate::pipeline::Pipeline;
use crate::state::{StateCells, StateContext};
use crate::transforms::StatefulDoFn;
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
    /// Groups where it else sums.
    groups: bool,
    sinks: &'static [&'static str],
}

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
        groups: false,
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
            .window_into("Window", plan.windows)
            .par_do_stateful(plan.meet, |cells| {
                (plan.declare)(cells);
                Nothing
            });
        let results = if plan.groups {
            let grouped = met.group_by_key(plan.group);
            grouped.map("Debug", |pair| format!("{pair:?}"))
        } else {
            let summed = met.sum_per_key(plan.group);
            summed.map("Debug", |pair| format!("{pair:?}"))
        };
        for sink in plan.sinks {
            results.write(sink, crate::sink::TextSink::lines(format!("/tmp/{sink}")));
        }
    });
    prints(pipeline.unwrap().graph())
}

fn refusal(now: Plan) -> String {
    let refused = compare(&printed(plan()), &printed(now), 42);
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
        let compared = compare(&printed(plan()), &printed(now), 1);
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
            groups: true,
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
