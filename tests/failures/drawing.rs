//! The Mermaid drawing of a pipeline, read back.

use std::collections::BTreeSet;
use std::time::Duration;

use pipeline_core::prelude::*;

/// What a drawing holds.
#[derive(Default)]
struct Drawing {
    nodes: BTreeSet<String>,
    boxes: Vec<String>,
    edges: Vec<(String, String)>,
}

/// Returns the identifier at the beginning of a line, which must be one.
fn id(text: &str) -> String {
    let id: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    assert!(id.starts_with(['n', 's']), "no identifier: {text}");
    id
}

/// Reads a flow chart of the forms that we draw; panics at any other line.
fn read(text: &str) -> Drawing {
    let mut drawing = Drawing::default();
    let mut depth = 0;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("flowchart TD"));
    for line in lines.map(str::trim) {
        if line == "end" {
            assert!(depth > 0, "an end without a beginning");
            depth -= 1;
        } else if let Some(subgraph) = line.strip_prefix("subgraph ") {
            depth += 1;
            let box_id = id(subgraph);
            let label = &subgraph[box_id.len()..];
            assert!(
                label.starts_with(" [\"") && label.ends_with("\"]"),
                "{line}"
            );
            assert_eq!(label.matches('"').count(), 2, "quotes in a label: {line}");
            drawing.boxes.push(label[3..label.len() - 2].to_owned());
        } else if let Some((from, to)) = line.split_once(" --> ").or(line.split_once(" ==> ")) {
            drawing.edges.push((id(from), id(to)));
        } else if let Some((from, to)) = line.split_once("-->|").or(line.split_once("==>|")) {
            let (label, to) = to.split_once("| ").expect("a label ends");
            assert!(!label.contains(['|', '"']), "{line}");
            drawing.edges.push((id(from), id(to)));
        } else {
            let node = id(line);
            assert_eq!(line.matches('"').count(), 2, "quotes in a label: {line}");
            assert!(drawing.nodes.insert(node), "drawn twice: {line}");
        }
    }
    assert_eq!(depth, 0, "a subgraph has no end");
    for (from, to) in &drawing.edges {
        assert!(drawing.nodes.contains(from), "{from} is not drawn");
        assert!(drawing.nodes.contains(to), "{to} is not drawn");
    }
    drawing
}

#[test]
fn a_composite_pipeline_is_well_formed() {
    let pipeline = Pipeline::build(|p| {
        let outcome = p
            .create("Say \"hello\" <b>", vec!["1".to_string()])
            .try_map("Parse", |text| Ok(text.parse::<u64>()?));
        let ok = outcome.drop_dead_letters("a \"test\" & no more");
        ok.apply("Outer \"quoted\"", |numbers: PCollection<u64>| {
            let counts = numbers
                .window_into("Minutes", FixedWindows::of(Duration::from_secs(60)))
                .apply("Inner", |n: PCollection<u64>| {
                    n.key_by("Key", |n| n % 2).count_per_key("Count")
                });
            counts
                .co_group_by_key("Join", &counts)
                .check("Check", |_| {});
        });
    })
    .unwrap();
    let text = pipeline.to_mermaid();
    let drawing = read(&text);
    assert!(
        drawing
            .boxes
            .contains(&"Outer &quot;quoted&quot;".to_owned()),
        "{text}"
    );
    assert!(drawing.boxes.contains(&"Inner".to_owned()), "{text}");
    assert!(text.contains("|dead_letters|"), "outputs are named: {text}");
    // Every transform but the source has an input.
    let reached: BTreeSet<_> = drawing.edges.iter().map(|(_, to)| to.clone()).collect();
    assert_eq!(reached.len() + 1, drawing.nodes.len(), "{text}");
}
