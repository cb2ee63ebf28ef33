//! What of a pipeline has to stay the same for a snapshot of it to be used.
//!
//! Only nodes that can hold state are looked at: sources, groupings, stateful functions and sinks.
//! Whatever stands between them may be added, taken away or renamed. Types are compared by what the
//! coder makes of them: a snapshot has made-up values of the types in its state, which the program
//! that goes on has to be able to read. What no value can be made up of (parts that decide by the
//! data what they are) is found out when the state is read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Graph, KeptType, Kind, Node, ReadsSample};

/// What a snapshot says about a node that can hold state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runners::direct) struct NodePrint {
    path: String,
    kind: String,
    /// What matters of its windowing, each aspect with its value as text.
    windows: Vec<(String, String)>,
    /// Its cells of state, with their kinds.
    cells: Vec<(String, String)>,
    timers: Vec<String>,
    /// The name of the function that combines. Snapshots of earlier programs have neither this nor
    /// types.
    #[serde(default)]
    combiner: Option<String>,
    #[serde(default)]
    types: Vec<TypePrint>,
}

/// What a snapshot says about a type in the state of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TypePrint {
    /// What it is to the node.
    role: String,
    /// Its name, for people.
    name: String,
    samples: Vec<Bytes>,
    /// Reads a sample as this program does; a print that is read from a snapshot has none.
    #[serde(skip)]
    reads: Option<ReadsSample>,
}

impl PartialEq for TypePrint {
    fn eq(&self, other: &Self) -> bool {
        (&self.role, &self.name, &self.samples) == (&other.role, &other.name, &other.samples)
    }
}

impl Eq for TypePrint {}

impl TypePrint {
    fn of(kept: &KeptType) -> Self {
        TypePrint {
            role: kept.role.clone(),
            name: (kept.name)(),
            samples: (kept.samples)().into_iter().map(Bytes::from).collect(),
            reads: Some(kept.reads),
        }
    }
}

/// What a sink is called; new ones are allowed.
const SINK: &str = "a sink";

/// Returns what a node that can hold state is called; it is in snapshots.
fn kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Read => Some("a source"),
        Kind::StatefulParDo => Some("a stateful function"),
        Kind::GroupByKey => Some("a group_by_key"),
        Kind::CoGroupByKey => Some("a co_group_by_key"),
        Kind::CombineMerge => Some("a combine"),
        Kind::Write => Some(SINK),
        Kind::ParDo | Kind::WindowInto | Kind::Exchange | Kind::CombineLift | Kind::Flatten => None,
    }
}

/// Returns the prints of the nodes that can hold state.
pub(in crate::runners::direct) fn prints(graph: &Graph) -> Vec<NodePrint> {
    let print = |node: &Node| {
        let cells = node.kept.cells.iter();
        Some(NodePrint {
            path: node.path.to_string(),
            kind: kind(node.kind)?.to_owned(),
            windows: windows(graph, node),
            cells: cells
                .map(|(name, kind)| (name.clone(), (*kind).to_owned()))
                .collect(),
            timers: node.kept.timers.clone(),
            combiner: node.kept.combiner.clone(),
            types: node.kept.types.iter().map(TypePrint::of).collect(),
        })
    };
    graph.nodes.iter().filter_map(print).collect()
}

fn windows(graph: &Graph, node: &Node) -> Vec<(String, String)> {
    let inputs = || {
        node.inputs
            .iter()
            .map(|id| &graph.collections[*id].windowing)
    };
    // A grouping's output says how its groups were windowed, but for whether windows merged.
    let strategy = match node.kind {
        Kind::StatefulParDo => inputs().next(),
        kind if kind.groups() => node
            .outputs
            .first()
            .map(|id| &graph.collections[*id].windowing),
        _ => None,
    };
    let Some(strategy) = strategy else {
        return Vec::new();
    };
    let mut function = format!("{:?}", strategy.window_fn);
    if strategy.window_fn.is_merging() && inputs().all(|input| input.merged) {
        function.push_str(" as merged before");
    }
    let aspect = |name: &str, value: String| (name.to_owned(), value);
    let lateness = format!("{} ms", strategy.allowed_lateness);
    let mut windows = vec![
        aspect("windows", function),
        aspect("allowed lateness", lateness),
    ];
    if node.kind.groups() {
        let combiner = format!("{:?}", strategy.timestamp_combiner);
        windows.push(aspect("timestamp combiner", combiner));
        let accumulation = format!("{:?}", strategy.accumulation);
        windows.push(aspect("accumulation", accumulation));
    }
    windows
}

/// Refuses a pipeline that cannot go on from a snapshot: says what has changed, and what to do.
pub(in crate::runners::direct) fn compare(
    saved: &[NodePrint],
    now: &[NodePrint],
    epoch: u64,
) -> Result<()> {
    let mut reasons = Vec::new();
    let is_in = |prints: &[NodePrint], path: &str| prints.iter().any(|print| print.path == path);
    let mut found: Vec<&NodePrint> = Vec::new();
    for before in saved {
        if let Some(print) = now.iter().find(|print| print.path == before.path) {
            differences(before, print, &mut reasons);
            continue;
        }
        let mut renamed = now.iter().filter(|print| !is_in(saved, &print.path));
        let renamed = renamed.find(|print| before.looks_like(print) && !found.contains(print));
        found.extend(renamed);
        let advice = match renamed {
            Some(print) => format!("it looks renamed to '{}': keep its name", print.path),
            None => "put it back".to_owned(),
        };
        let (path, kind) = (&before.path, &before.kind);
        reasons.push(format!(
            "'{path}', {kind}, is in the snapshot and not in the pipeline; {advice}"
        ));
    }
    for print in now {
        if !is_in(saved, &print.path) && print.kind != SINK && !found.contains(&print) {
            let (path, kind) = (&print.path, &print.kind);
            reasons.push(format!(
                "'{path}', {kind}, is new: it would know nothing of what came before"
            ));
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons: String = reasons.iter().map(|r| format!("\n  - {r}")).collect();
    Err(Error::option(format!(
        "the pipeline cannot go on from snapshot {epoch}, which another one has written:{reasons}\n\
         finish it with the program that wrote it (--drain), or give another folder for snapshots"
    )))
}

impl NodePrint {
    fn looks_like(&self, other: &NodePrint) -> bool {
        self.kind == other.kind && self.cells == other.cells && self.timers == other.timers
    }
}

/// Adds what keeps a node from taking back the state of the one that had its path.
fn differences(before: &NodePrint, now: &NodePrint, reasons: &mut Vec<String>) {
    let path = &before.path;
    if before.kind != now.kind {
        let (was, is) = (&before.kind, &now.kind);
        reasons.push(format!("'{path}' was {was}, and is {is}"));
        return;
    }
    for (aspect, was) in &before.windows {
        let is = now.windows.iter().find(|(name, _)| name == aspect);
        let is = is.map_or("not set", |(_, is)| is.as_str());
        if was != is {
            reasons.push(format!("'{path}': {aspect} was {was}, and is {is}"));
        }
    }
    let other_combiner = match (&before.combiner, &now.combiner) {
        (Some(was), Some(is)) if was != is => {
            reasons.push(format!(
                "'{path}': its CombineFn was '{was}', and is '{is}'; if it is the same, return the \
                 old name from CombineFn::name"
            ));
            true
        }
        _ => false,
    };
    for was in &before.types {
        // The accumulators of another function need not fit as well; cells come below.
        let is_told = other_combiner && was.role == "accumulator";
        if !is_told && !was.role.starts_with("cell ") {
            reasons.extend(misread(path, was, &now.types));
        }
    }
    for (cell, was) in &before.cells {
        match now.cells.iter().find(|(name, _)| name == cell) {
            Some((_, is)) if is == was => {
                let role = format!("cell '{cell}'");
                let held = before.types.iter().find(|held| held.role == role);
                reasons.extend(held.and_then(|held| misread(path, held, &now.types)));
            }
            Some((_, is)) => {
                reasons.push(format!(
                    "'{path}': its cell '{cell}' was a {was}, and is a {is}"
                ));
            }
            None => reasons.push(format!(
                "'{path}': its cell '{cell}' is in the snapshot and not in the pipeline; keep it, \
                 under its name"
            )),
        }
    }
    for timer in &before.timers {
        if !now.timers.contains(timer) {
            reasons.push(format!(
                "'{path}': its timer '{timer}' is in the snapshot and not in the pipeline; keep \
                 it, under its name"
            ));
        }
    }
}

/// Says why what was saved of a type would not be read.
fn misread(path: &str, was: &TypePrint, now: &[TypePrint]) -> Option<String> {
    let (role, name) = (&was.role, &was.name);
    let is = now.iter().find(|print| print.role == *role)?;
    let reads = is.reads?;
    let why = was.samples.iter().find_map(|s| reads(s).err())?;
    let rule = match role.as_str() {
        "key" => "a key must be encoded as it was, since state is found by it",
        _ => "a type may get fields with `#[serde(default)]` and wider numbers, no more",
    };
    Some(if *name == is.name {
        format!("'{path}': its {role}, {name}, has changed ({why}); {rule}")
    } else {
        let is = &is.name;
        format!("'{path}': its {role} was {name}, and is {is} ({why}); {rule}")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
