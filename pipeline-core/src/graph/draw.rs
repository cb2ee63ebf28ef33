//! A pipeline drawn as a Mermaid flow chart.

use std::fmt::Write;

use super::node::{Graph, Kind};

impl Graph {
    /// Draws the graph: composites as boxes, transforms by kind, collections as arrows.
    pub(crate) fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        let mut open: Vec<&str> = Vec::new();
        for node in &self.nodes {
            let mut parts: Vec<&str> = node.path.split('/').collect();
            let name = parts.pop().unwrap_or_default();
            let shared = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
            while open.len() > shared {
                open.pop();
                line(&mut text, open.len(), "end");
            }
            for part in &parts[shared..] {
                let id = format!("s{}_{}", node.id, open.len());
                line(
                    &mut text,
                    open.len(),
                    &format!("subgraph {id} [\"{}\"]", escape(part)),
                );
                open.push(part);
            }
            let mut label = escape(name);
            if let Some(detail) = &node.detail {
                let _ = write!(label, "<br/><i>{}</i>", escape(detail));
            }
            let (before, after) = shape(node.kind);
            let id = node.id;
            line(
                &mut text,
                open.len(),
                &format!("n{id}{before}\"{label}\"{after}"),
            );
        }
        while open.pop().is_some() {
            line(&mut text, open.len(), "end");
        }
        self.draw_edges(&mut text);
        text
    }

    fn draw_edges(&self, text: &mut String) {
        let mut producer = vec![(0, 0); self.collections.len()];
        for node in &self.nodes {
            for (output, &collection) in node.outputs.iter().enumerate() {
                producer[collection] = (node.id, output);
            }
        }
        for node in &self.nodes {
            for &input in &node.inputs {
                let (from, _) = producer[input];
                let collection = &self.collections[input];
                let label = match collection.path.rsplit_once('.') {
                    Some((path, output)) if path == &*self.nodes[from].path => {
                        format!("|{}|", escape(output))
                    }
                    _ => String::new(),
                };
                let arrow = if collection.bounded { "-->" } else { "==>" };
                line(text, 0, &format!("n{from} {arrow}{label} n{}", node.id));
            }
        }
    }
}

fn line(text: &mut String, depth: usize, content: &str) {
    let _ = writeln!(text, "{:1$}{content}", "", 2 * depth + 2);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn shape(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Read | Kind::Write => ("[(", ")]"),
        Kind::Exchange => ("{{", "}}"),
        Kind::WindowInto | Kind::Flatten => ("([", "])"),
        _ => ("[", "]"),
    }
}
