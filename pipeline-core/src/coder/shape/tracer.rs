//! Runs `Deserialize` along a trail of choices.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{self, DeserializeOwned};

use super::{deserializer::Shape, knowledge::Knowledge};

/// How deep a run may nest, and how many values it may read, before it gives up.
const MAX_RUN_DEPTH: usize = 100;
const MAX_RUN_STEPS: usize = 100_000;

/// Why a run ended without a value.
#[derive(Debug)]
pub(in crate::coder) enum Stop {
    /// The type did not accept the input; another choice may do.
    Rejected,
    /// The same choices should be run again, with what has been learnt.
    Again,
    /// A field was given twice: its name is an alias.
    Duplicate,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not accepted")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Stop::Rejected
    }
    fn duplicate_field(_field: &'static str) -> Self {
        Stop::Duplicate
    }
}

/// A part of a shape whose encoding is not a function of equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coder) enum Problem {
    /// A floating-point number of this type.
    Float(&'static str),
    /// A map of this type, whose order is not known.
    Map(&'static str),
    /// A sequence of this type, whose order is not known.
    Sequence(&'static str),
    /// A part that decides by the data what it is.
    SelfDescribing(&'static str),
}

/// One decision of a run.
pub(super) struct Choice {
    /// The alternatives, in the order in which they are tried.
    options: Vec<usize>,
    at: usize,
    /// Where in the type a leaf with texts stands; `None` for other choices.
    text_place: Option<String>,
}

/// Which numbers are tried first where a type takes integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::coder) enum Numbers {
    #[default]
    Small,
    Least,
    Greatest,
}

/// Runs `Deserialize` along a trail of choices and notes what it meets.
#[derive(Default)]
pub(in crate::coder) struct Tracer {
    /// Parts that would be no good in a key are met as others are.
    pub(super) takes_all: bool,
    pub(super) numbers: Numbers,
    trail: Vec<Choice>,
    cursor: usize,
    steps: usize,
    pub(super) knowledge: Knowledge,
    /// The types that are being built, from the outside in.
    pub(super) types: Vec<&'static str>,
    /// The variants that are being built, from the outside in.
    pub(super) variants: Vec<(&'static str, usize)>,
    pub(super) path: Vec<String>,
    /// Field names that are aliases, by type.
    pub(super) aliases: BTreeSet<(&'static str, &'static str)>,
    /// The candidate that a leaf type accepted last.
    pub(super) accepted: BTreeMap<(&'static str, &'static str), usize>,
    problem: Option<(Problem, String)>,
}

impl Tracer {
    /// Begins to walk a type that need not be good as a key.
    pub(in crate::coder) fn of_any(numbers: Numbers) -> Self {
        Tracer {
            takes_all: true,
            numbers,
            ..Tracer::default()
        }
    }

    /// Runs `Deserialize` once, along the trail and beyond it with first choices.
    pub(in crate::coder) fn run<T: DeserializeOwned>(&mut self) -> Result<T, Stop> {
        self.cursor = 0;
        self.steps = 0;
        self.types.clear();
        self.variants.clear();
        self.path.clear();
        let result = T::deserialize(Shape(self));
        self.trail.truncate(self.cursor);
        result
    }

    /// Returns the problem that a run has met, and where.
    pub(in crate::coder) fn problem(&self) -> Option<&(Problem, String)> {
        self.problem.as_ref()
    }

    /// Moves the last choice that has alternatives on; false when there is none.
    pub(in crate::coder) fn backtrack(&mut self) -> bool {
        while let Some(last) = self.trail.last_mut() {
            if last.at + 1 < last.options.len() {
                last.at += 1;
                return true;
            }
            self.trail.pop();
        }
        false
    }

    /// Forgets the trail; true if a new variant was met since the last call, so that another run may see more.
    pub(in crate::coder) fn restart(&mut self) -> bool {
        self.trail.clear();
        self.knowledge.take_progress()
    }

    /// Returns the choices of texts on the trail: position, number of alternatives, place.
    pub(in crate::coder) fn texts(&self) -> Vec<(usize, usize, String)> {
        let places = self.trail.iter().enumerate();
        places
            .filter_map(|(index, c)| Some((index, c.options.len(), c.text_place.clone()?)))
            .collect()
    }

    /// Runs along the trail with another alternative at one position, and leaves the trail as it was.
    pub(in crate::coder) fn vary<T: DeserializeOwned>(
        &mut self,
        index: usize,
        at: usize,
    ) -> Option<T> {
        let kept: Vec<usize> = self.trail.iter().map(|c| c.at).collect();
        let trail = std::mem::take(&mut self.trail);
        self.trail = trail
            .iter()
            .zip(&kept)
            .map(|(c, at)| Choice {
                options: c.options.clone(),
                at: *at,
                text_place: None,
            })
            .collect();
        if let Some(choice) = self.trail.get_mut(index) {
            choice.at = at;
        }
        let result = self.run();
        self.trail = trail;
        result.ok()
    }

    /// Takes the next decision, below `count`: the trail's, or the first of the options.
    pub(super) fn choose(
        &mut self,
        count: usize,
        text: bool,
        options: impl FnOnce(&mut Self) -> Vec<usize>,
    ) -> Result<usize, Stop> {
        if self.cursor == self.trail.len() {
            let options = options(self);
            let text_place = text.then(|| self.place());
            self.trail.push(Choice {
                options,
                at: 0,
                text_place,
            });
        }
        let choice = &self.trail[self.cursor];
        self.cursor += 1;
        // A run that was varied may come to another decision than the one that the trail was made for.
        let option = choice.options.get(choice.at).copied();
        option.filter(|n| *n < count).ok_or(Stop::Rejected)
    }

    /// Notes a problem, unless there is one already, and ends the run.
    pub(super) fn refuse(&mut self, problem: Problem) -> Stop {
        let place = self.place();
        self.problem.get_or_insert((problem, place));
        Stop::Rejected
    }

    /// Counts a value and refuses to go on for ever.
    pub(super) fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        let too_far = self.steps > MAX_RUN_STEPS || self.types.len() > MAX_RUN_DEPTH;
        if too_far { Err(Stop::Rejected) } else { Ok(()) }
    }

    fn place(&self) -> String {
        self.path.concat()
    }
}
