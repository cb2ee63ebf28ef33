//! What runs so far have taught about the enums of a type.

use std::collections::{BTreeMap, BTreeSet};

/// Remembers which variants were seen, which could be built, and where enums occur.
#[derive(Default)]
pub(super) struct Knowledge {
    enums: BTreeMap<&'static str, Enum>,
    completed: usize,
    progress: bool,
}

#[derive(Default)]
struct Enum {
    variants: Vec<Variant>,
    /// The variants (enum, index) within which this enum was met.
    within: BTreeSet<(&'static str, usize)>,
}

#[derive(Clone, Default)]
struct Variant {
    visited: bool,
    /// When a value of it was first built; the earliest ones end a recursion.
    completed: Option<usize>,
}

impl Knowledge {
    /// Returns the variants of an enum in the order in which they should be tried.
    ///
    /// New ones come first, then those within which an enum has new ones (unless the enum is being built already),
    /// then those that could be built, the earliest first.
    pub(super) fn order(
        &mut self,
        name: &'static str,
        count: usize,
        stack: &[(&'static str, usize)],
    ) -> Vec<usize> {
        let entry = self.enums.entry(name).or_default();
        entry
            .variants
            .resize(count.max(entry.variants.len()), Variant::default());
        entry.within.extend(stack);

        let recursive = stack.iter().any(|(outer, _)| *outer == name);
        let rank = |index: &usize| {
            let variant = &self.enums[name].variants[*index];
            let open = !recursive && self.is_open((name, *index));
            match variant.completed {
                _ if !variant.visited => (0, 0),
                _ if open => (1, 0),
                Some(when) => (2, when),
                None => (3, 0),
            }
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(rank);
        order
    }

    fn is_open(&self, variant: (&'static str, usize)) -> bool {
        let has_new = |e: &Enum| e.variants.iter().any(|v| !v.visited);
        self.enums
            .values()
            .any(|e| has_new(e) && e.within.contains(&variant))
    }

    /// Notes that a variant is about to be built.
    pub(super) fn visit(&mut self, name: &'static str, index: usize) {
        if let Some(variant) = self.variant(name, index) {
            let new = !std::mem::replace(&mut variant.visited, true);
            self.progress |= new;
        }
    }

    /// Notes that a variant was built.
    pub(super) fn complete(&mut self, name: &'static str, index: usize) {
        let when = self.completed;
        self.completed += 1;
        if let Some(variant) = self.variant(name, index) {
            variant.completed.get_or_insert(when);
        }
    }

    /// Tells whether a new variant was seen since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    fn variant(&mut self, name: &'static str, index: usize) -> Option<&mut Variant> {
        self.enums.get_mut(name)?.variants.get_mut(index)
    }
}
