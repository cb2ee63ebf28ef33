//! The store against a model in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::files::scratch::Scratch;
use crate::state::spill::Memory;

/// A store in memory, where there is such a place: a run is written with many waits for a disk.
fn memory(name: &str) -> (Scratch, Arc<Memory>) {
    let scratch = Scratch::new(name);
    let shared = Path::new("/dev/shm");
    let folder = match shared.is_dir() {
        true => shared.join(scratch.path().file_name().unwrap()),
        false => scratch.path().join("spill"),
    };
    (scratch, Arc::new(Memory::new(1, Some(0), folder)))
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Times that differ in their signs, and that are the same now and then.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => -20..20_i64,
        1 => Just(Timestamp::MIN.millis()),
        1 => Just(Timestamp::MAX.millis() - 1),
    ]
}

/// Keys of which some begin with others.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(0..3_u8, 1..4),
        prop::collection::vec(253..=255_u8, 1..4),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(Vec<u8>, i64, Vec<u8>)>),
    Take(Vec<u8>),
    Pop(i64),
    PopAll(i64),
    Visit,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::collection::vec(any::<u8>(), 0..4);
    let entries = prop::collection::vec((keys(), times(), value), 0..12);
    let step = prop_oneof![
        6 => entries.prop_map(Step::Put),
        6 => keys().prop_map(Step::Take),
        3 => times().prop_map(Step::Pop),
        2 => times().prop_map(Step::PopAll),
        1 => Just(Step::Visit),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..40)
}

/// The store, and what must be in it.
struct Both {
    share: Share,
    evicted: Evicted,
    model: BTreeMap<(i64, Vec<u8>), Vec<u8>>,
}

impl Both {
    fn put(&mut self, entries: Vec<(Vec<u8>, i64, Vec<u8>)>) {
        let mut batch = Batch::with_capacity(0);
        let mut values = Vec::new();
        for (key, due, value) in entries {
            if self.model.keys().any(|(_, other)| *other == key) {
                continue;
            }
            let added = batch.add(at(due), values.len(), |out| {
                out.extend(&key);
                Ok(())
            });
            assert!(added.unwrap());
            values.push(value.clone());
            self.model.insert((due, key), value);
        }
        let bytes: usize = values.iter().map(Vec::len).sum();
        let put = self.evicted.put(&self.share, batch, |index, out| {
            out.append(&mut values[index]);
            Ok(())
        });
        assert_eq!(put.unwrap(), bytes as u64);
    }

    fn take(&mut self, key: &[u8]) {
        let of_key = self.model.keys().find(|(_, other)| other == key).cloned();
        let expected = of_key.and_then(|of_key| self.model.remove(&of_key));
        let taken = self.evicted.take(key).unwrap();
        assert_eq!(taken.as_deref(), expected.as_deref());
    }

    /// Returns whether something was due.
    fn pop(&mut self, before: i64) -> bool {
        let first = self.model.first_entry().filter(|e| e.key().0 < before);
        let expected = first.map(|first| first.remove_entry());
        let popped = self.evicted.pop_due(at(before)).unwrap();
        let popped = popped.map(|p| ((p.due.millis(), p.key().to_vec()), p.value.to_vec()));
        assert_eq!(popped, expected);
        if popped.is_none() && self.evicted.earliest_due() < at(before) {
            panic!("nothing was due, but it says that there may be");
        }
        popped.is_some()
    }

    fn assert_sound(&self) {
        assert_eq!(self.evicted.len(), self.model.len() as u64);
        assert_eq!(self.evicted.is_empty(), self.model.is_empty());
        let first = self.model.keys().next().map(|(due, _)| at(*due));
        match first {
            Some(first) => assert!(self.evicted.earliest_due() <= first),
            None => assert_eq!(self.evicted.earliest_due(), Timestamp::MAX),
        }
    }

    fn visit(&self) {
        let all = self.evicted.iter().map(Result::unwrap);
        let all = all.map(|e| ((e.due.millis(), e.key().to_vec()), e.value.to_vec()));
        assert!(all.eq(self.model.clone()));
    }
}

#[test]
fn what_comes_back_is_what_was_put_there() {
    let (_folder, memory) = memory("evicted");
    // Opening the store takes longer than a case.
    let both = RefCell::new(Both {
        share: Share::new(&memory, 0, 0),
        evicted: Evicted::default(),
        model: BTreeMap::new(),
    });
    proptest!(ProptestConfig::with_cases(64), |(steps in steps())| {
        let both = &mut *both.borrow_mut();
        both.evicted.clear().unwrap();
        both.model.clear();
        for step in steps {
            match step {
                Step::Put(entries) => both.put(entries),
                Step::Take(key) => both.take(&key),
                Step::Pop(before) => {
                    both.pop(before);
                }
                Step::PopAll(before) => while both.pop(before) {},
                Step::Visit => both.visit(),
                Step::Clear => {
                    both.evicted.clear().unwrap();
                    both.model.clear();
                }
            }
            both.assert_sound();
        }
        both.visit();
    });
}

#[test]
fn a_key_that_is_too_long_stays_in_memory() {
    let mut batch = Batch::with_capacity(0);
    let mut add = |length| {
        let encode = |out: &mut Vec<u8>| {
            out.resize(out.len() + length, 7);
            Ok(())
        };
        batch.add(at(1), (), encode).unwrap()
    };
    assert!(add(LONGEST_KEY) && !add(LONGEST_KEY + 1) && add(1));
    assert_eq!((batch.len(), batch.keys.len()), (2, LONGEST_KEY + 1));
    let (_folder, memory) = memory("evicted-long");
    let (share, mut evicted) = (Share::new(&memory, 0, 0), Evicted::default());
    evicted.put(&share, batch, |(), _| Ok(())).unwrap();
    assert!(evicted.take(&[7; LONGEST_KEY]).unwrap().is_some());
    assert!(evicted.take(&[7]).unwrap().is_some());
}

/// Many keys, evicted and taken back again and again: no wait for the store is without an end.
#[test]
fn a_key_that_comes_again_and_again_is_found() {
    let (_folder, memory) = memory("evicted-again");
    let (share, mut evicted) = (Share::new(&memory, 0, 0), Evicted::default());
    for round in 0..60_u64 {
        let mut batch = Batch::with_capacity(0);
        for key in 0..200_u64 {
            let encode = |out: &mut Vec<u8>| {
                out.extend(key.to_be_bytes());
                Ok(())
            };
            let due = at((key * 7919 % 200 + round) as i64);
            batch.add(due, key + round, encode).unwrap();
        }
        let put = evicted.put(&share, batch, |value, out| {
            out.extend(value.to_be_bytes());
            Ok(())
        });
        assert_eq!(put.unwrap(), 1600);
        for key in 0..100_u64 {
            let taken = evicted.take(&key.to_be_bytes()).unwrap().unwrap();
            assert_eq!(*taken, (key + round).to_be_bytes());
        }
        let mut popped = 0;
        while evicted.pop_due(Timestamp::MAX).unwrap().is_some() {
            popped += 1;
        }
        assert_eq!(popped, 100);
    }
}
