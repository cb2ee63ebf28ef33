//! What a node keeps per key: by this a snapshot finds out whether a program that has been changed
//! can go on from it.

use crate::coder::{Element, Key, reads, reads_same, samples, short_name};

/// What a node keeps per key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Cells with their kinds, and timers, by name.
    pub(crate) cells: Vec<(String, &'static str)>,
    pub(crate) timers: Vec<String>,
    /// The name of the function that combines.
    pub(crate) combiner: Option<String>,
    /// The types that are in its state.
    pub(crate) types: Vec<KeptType>,
}

impl Kept {
    /// Keeps nothing yet but a key.
    pub(crate) fn by_key<K: Key>() -> Self {
        Kept::default().with_key::<K>()
    }

    /// Keeps all by this key.
    pub(crate) fn with_key<K: Key>(mut self) -> Self {
        self.types.push(KeptType {
            role: "key".to_owned(),
            name: short_name::<K>,
            samples: samples::<K>,
            reads: |sample| match reads_same::<K>(sample) {
                Ok(true) => Ok(()),
                Ok(false) => Err("it is encoded in another way".to_owned()),
                Err(error) => Err(error.reason()),
            },
        });
        self
    }

    /// Keeps values of that type as well.
    pub(crate) fn with<T: Element>(mut self, role: &str) -> Self {
        self.types.push(KeptType::of::<T>(role.to_owned()));
        self
    }

    /// Combines by the function of that name.
    pub(crate) fn combined_by(mut self, name: String) -> Self {
        self.combiner = Some(name);
        self
    }
}

/// A type that is in the state of a node.
#[derive(Clone, Debug)]
pub(crate) struct KeptType {
    /// What it is there.
    pub(crate) role: String,
    /// Returns its name, for people.
    pub(crate) name: fn() -> String,
    /// Makes encoded values of it up.
    pub(crate) samples: fn() -> Vec<Vec<u8>>,
    /// Says why such a value of an earlier program would not be read.
    pub(crate) reads: ReadsSample,
}

/// See [`KeptType::reads`].
pub(crate) type ReadsSample = fn(&[u8]) -> Result<(), String>;

impl KeptType {
    pub(crate) fn of<T: Element>(role: String) -> Self {
        KeptType {
            role,
            name: short_name::<T>,
            samples: samples::<T>,
            reads: |sample| reads::<T>(sample).map_err(|error| error.reason()),
        }
    }
}
