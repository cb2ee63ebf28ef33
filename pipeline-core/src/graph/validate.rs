//! What is refused before anything runs.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use super::node::Graph;

impl Graph {
    /// Lists everything that keeps the pipeline from running, in the order of construction.
    pub(crate) fn validate(&self) -> Vec<String> {
        let mut reasons = self.refusals.clone();
        self.check_names(&mut reasons);
        self.check_grouping(&mut reasons);
        self.check_consumers(&mut reasons);
        self.check_files(&mut reasons);
        if self.nodes.is_empty() {
            reasons.push("it has no transforms: begin with `pipeline.read` or `create`".into());
        }
        reasons
    }

    /// Paths must be unique: metrics, dead letters and errors are found by them (PG, "transform
    /// names").
    fn check_names(&self, reasons: &mut Vec<String>) {
        let mut seen = HashSet::new();
        let mut repeated: Vec<&str> = Vec::new();
        let paths = self.nodes.iter().map(|n| &*n.path);
        for path in self.scopes.iter().map(String::as_str).chain(paths) {
            // What stands inside a repeated composite is repeated with it.
            let inside = |outer: &&str| {
                path.strip_prefix(*outer)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if !seen.insert(path) && !repeated.iter().any(inside) {
                repeated.push(path);
                reasons.push(format!(
                    "two transforms are named '{path}': give each a name of its own"
                ));
            }
        }
    }

    /// A group over unbounded input in the global window would never end (PG 4.2.2.1).
    fn check_grouping(&self, reasons: &mut Vec<String>) {
        for node in self.nodes.iter().filter(|n| n.kind.groups()) {
            let endless = node.inputs.iter().find(|&&input| {
                let collection = &self.collections[input];
                !collection.bounded && collection.windowing.is_global()
            });
            if endless.is_some() {
                reasons.push(format!(
                    "'{}' groups unbounded input in the global window, where no group ever ends: \
                     put `window_into` with windows that end in front of it",
                    node.path
                ));
            }
        }
    }

    /// Of two sinks that write one file, the later one would replace what the other wrote.
    fn check_files(&self, reasons: &mut Vec<String>) {
        let mut writers = HashMap::new();
        for node in &self.nodes {
            let Some(path) = &node.exclusive_path else {
                continue;
            };
            match writers.entry(path) {
                Entry::Vacant(first) => {
                    first.insert(&node.path);
                }
                Entry::Occupied(first) => reasons.push(format!(
                    "'{}' and '{}' both write {}, and one would replace what the other wrote: \
                     give each a path of its own, or `flatten` their inputs into one sink",
                    first.get(),
                    node.path,
                    path.display()
                )),
            }
        }
    }

    /// Nothing is lost silently.
    fn check_consumers(&self, reasons: &mut Vec<String>) {
        for (collection, consumers) in self.collections.iter().zip(self.consumers()) {
            if let (Some(reason), true) = (&collection.must_be_consumed, consumers.is_empty()) {
                reasons.push(reason.clone());
            }
        }
    }
}
