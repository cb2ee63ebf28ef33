//! The order in which the methods of a function are called, in runs that succeed and that fail.
//!
//! The life of an instance is written as a text: `S` setup, `(` start_bundle, `p` process,
//! `t` on_timer, `)` finish_bundle, `T` teardown, and `!` for a call that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

use super::kit::silence_booms;

const ELEMENTS: u64 = 60;
const KEYS: u64 = 5;

/// The lives of all instances, by their numbers.
#[derive(Clone, Default)]
struct Lives(Arc<Mutex<BTreeMap<usize, String>>>);

impl Lives {
    fn take(&self) -> Vec<String> {
        let lives = std::mem::take(&mut *self.0.lock().unwrap());
        lives.into_values().collect()
    }
}

/// Writes down how it is called. What was not set up has no number and writes a life of its own.
#[derive(Clone)]
struct Diary {
    lives: Lives,
    instance: usize,
    fails: Option<Fails>,
    /// The first instances, which do not fail.
    spared: usize,
}

/// The call that fails: its letter, and how.
#[derive(Clone, Copy, Debug)]
enum Fails {
    Error(char),
    Panic(char),
}

impl Diary {
    fn new(lives: &Lives, fails: Option<Fails>) -> Self {
        silence_booms();
        Diary {
            lives: lives.clone(),
            instance: 0,
            fails,
            spared: 0,
        }
    }

    fn write(&mut self, letter: char) -> Result<(), BoxError> {
        let mut lives = self.lives.0.lock().unwrap();
        if letter == 'S' {
            self.instance = lives.keys().max().map_or(1, |last| last + 1);
        }
        let life = lives.entry(self.instance).or_default();
        let fails = match self.fails {
            Some(Fails::Error(fatal) | Fails::Panic(fatal)) => fatal == letter,
            None => false,
        };
        let fails = fails && self.instance > self.spared;
        life.push(if fails { '!' } else { letter });
        drop(lives);
        match self.fails.filter(|_| fails) {
            Some(Fails::Error(_)) => Err("boom".into()),
            Some(Fails::Panic(_)) => panic!("boom"),
            None => Ok(()),
        }
    }
}

/// Passes elements on.
#[derive(Clone)]
struct Plain(Diary);

impl DoFn for Plain {
    type Input = u64;
    type Outputs = Out<u64>;

    fn setup(&mut self) -> Result<(), BoxError> {
        self.0.write('S')
    }

    fn start_bundle(&mut self) -> Result<(), BoxError> {
        self.0.write('(')
    }

    fn process(&mut self, n: u64, _: &ElementContext, out: &mut Out<u64>) -> Result<(), BoxError> {
        self.0.write('p')?;
        out.emit(n);
        Ok(())
    }

    fn finish_bundle(&mut self, _: &mut Out<u64>) -> Result<(), BoxError> {
        self.0.write(')')
    }

    fn teardown(&mut self) -> Result<(), BoxError> {
        self.0.write('T')
    }
}

/// Sets a timer for each key.
#[derive(Clone)]
struct Stateful {
    diary: Diary,
    timer: EventTimer,
}

impl StatefulDoFn for Stateful {
    type Key = u64;
    type Value = u64;
    type Outputs = Out<u64>;

    fn setup(&mut self) -> Result<(), BoxError> {
        self.diary.write('S')
    }

    fn start_bundle(&mut self) -> Result<(), BoxError> {
        self.diary.write('(')
    }

    fn process(
        &mut self,
        _: &u64,
        _: u64,
        state: &mut StateContext<'_>,
        _: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        self.timer.set(state, Timestamp::from_millis(0));
        self.diary.write('p')
    }

    fn on_timer(
        &mut self,
        _: &u64,
        _: EventTimer,
        _: &mut StateContext<'_>,
        _: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        self.diary.write('t')
    }

    fn finish_bundle(&mut self, _: &mut Out<u64>) -> Result<(), BoxError> {
        self.diary.write(')')
    }

    fn teardown(&mut self) -> Result<(), BoxError> {
        self.diary.write('T')
    }
}

/// Tells whether calls are bundles: `(`, any number of `p` and `t`, `)`.
fn are_bundles(calls: &str) -> bool {
    let mut open = false;
    calls.chars().all(|letter| match letter {
        '(' => !std::mem::replace(&mut open, true),
        'p' | 't' => open,
        ')' => std::mem::replace(&mut open, false),
        _ => false,
    }) && !open
}

fn is_whole(life: &str) -> bool {
    let bundles = life.strip_prefix('S').and_then(|l| l.strip_suffix('T'));
    bundles.is_some_and(are_bundles)
}

/// Tells whether a life was cut short in good order: within a bundle or between two, after which
/// only `teardown` came.
fn is_cut(life: &str) -> bool {
    let calls = life.strip_prefix('S').and_then(|l| l.strip_suffix('T'));
    calls.is_some_and(|calls| are_bundles(calls) || are_bundles(&format!("{calls})")))
}

fn count(lives: &[String], letter: char) -> usize {
    let letters = lives.iter().flat_map(|life| life.chars());
    letters.filter(|l| *l == letter).count()
}

/// Every number of workers, on threads of their own and in an order drawn from a seed.
fn runners() -> Vec<(usize, DirectRunner)> {
    let runner = |workers| DirectRunner::new().workers(workers);
    vec![
        (1, runner(1)),
        (3, runner(3)),
        (1, runner(1).seed(4)),
        (3, runner(3).seed(4)),
    ]
}

/// Puts `diary` into a pipeline, in a plain or in a stateful function.
fn pipeline(diary: &Diary, stateful: bool) -> pipeline_core::BuiltPipeline {
    Pipeline::build(|p| {
        let numbers = p.create("Numbers", (0..ELEMENTS).collect());
        let out = match stateful {
            false => numbers.par_do("Plain", Plain(diary.clone())),
            true => {
                let pairs = numbers.key_by("Key", |n| n % KEYS);
                pairs.par_do_stateful("Stateful", |cells| Stateful {
                    diary: diary.clone(),
                    timer: cells.event_timer("timer"),
                })
            }
        };
        out.check("Out", |_| ());
    })
    .unwrap()
}

#[test]
fn every_instance_is_set_up_given_whole_bundles_and_torn_down() {
    let lives = Lives::default();
    for stateful in [false, true] {
        let pipeline = pipeline(&Diary::new(&lives, None), stateful);
        for (workers, runner) in runners() {
            for one_element in [false, true] {
                let runner = match one_element {
                    true => runner.clone().max_bundle(1),
                    false => runner.clone(),
                };
                runner.run(&pipeline).unwrap();
                let lives = lives.take();
                assert_eq!(lives.len(), workers, "{lives:?}");
                assert!(lives.iter().all(|life| is_whole(life)), "{lives:?}");
                assert_eq!(count(&lives, 'p'), ELEMENTS as usize, "{lives:?}");
                let timers = if stateful { KEYS as usize } else { 0 };
                assert_eq!(count(&lives, 't'), timers, "{lives:?}");
                let several = lives.iter().any(|life| life.contains("pp"));
                assert_eq!(several, !one_element, "{lives:?}");
            }
        }
    }
}

#[test]
fn after_a_failure_every_instance_is_torn_down_and_called_no_more() {
    let lives = Lives::default();
    for stateful in [false, true] {
        let letters = if stateful { "(pt)" } else { "(p)" };
        for fatal in letters.chars() {
            for fails in [Fails::Error(fatal), Fails::Panic(fatal)] {
                let pipeline = pipeline(&Diary::new(&lives, Some(fails)), stateful);
                for (workers, runner) in runners() {
                    runner.run(&pipeline).unwrap_err();
                    let lives = lives.take();
                    let case = format!("{fails:?}: {lives:?}");
                    assert_eq!(lives.len(), workers, "{case}");
                    assert!(count(&lives, '!') > 0, "{case}");
                    for life in &lives {
                        // Nothing came between the failure and `teardown`.
                        let fine = match life.split_once('!') {
                            Some((before, after)) => after == "T" && is_cut(&format!("{before}T")),
                            None => is_cut(life),
                        };
                        assert!(fine, "{life}; {case}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_was_set_up_is_torn_down_where_another_setup_fails() {
    for fails in [Fails::Error('S'), Fails::Panic('S')] {
        for (workers, runner) in runners() {
            for spared in 0..workers {
                let [others, failing] = [(); 2].map(|()| Lives::default());
                let mut fuse = Diary::new(&failing, Some(fails));
                fuse.spared = spared;
                let pipeline = Pipeline::build(|p| {
                    p.create("Numbers", (0..ELEMENTS).collect())
                        .par_do("Before", Plain(Diary::new(&others, None)))
                        .par_do("Failing", Plain(fuse))
                        .par_do("Behind", Plain(Diary::new(&others, None)))
                        .check("Out", |_| ());
                })
                .unwrap();
                let error = runner.run(&pipeline).unwrap_err().to_string();
                assert!(error.contains("setup"), "{error}");
                assert!(error.contains("'Failing'"), "{error}");
                let (others, failing) = (others.take(), failing.take());
                assert!(
                    !others.is_empty() && others.iter().all(|life| is_cut(life)),
                    "{others:?}"
                );
                assert!(failing.len() > spared, "{failing:?}");
                for (number, life) in failing.iter().enumerate() {
                    // What could not be set up has nothing to let go of.
                    let fine = if number < spared {
                        is_cut(life)
                    } else {
                        life == "!"
                    };
                    assert!(fine, "{failing:?}");
                }
            }
        }
    }
}

#[test]
fn a_teardown_that_fails_keeps_no_other_from_being_called() {
    for fails in [Fails::Error('T'), Fails::Panic('T')] {
        for (workers, runner) in runners() {
            let [good, failing] = [(); 2].map(|()| Lives::default());
            let pipeline = Pipeline::build(|p| {
                p.create("Numbers", (0..ELEMENTS).collect())
                    .par_do("Before", Plain(Diary::new(&good, None)))
                    .par_do("Failing", Plain(Diary::new(&failing, Some(fails))))
                    .par_do("Behind", Plain(Diary::new(&good, None)))
                    .check("Out", |_| ());
            })
            .unwrap();
            let error = runner.run(&pipeline).unwrap_err().to_string();
            assert!(error.contains("teardown"), "{error}");
            let (good, failing) = (good.take(), failing.take());
            assert_eq!((good.len(), failing.len()), (2 * workers, workers));
            assert!(good.iter().all(|life| is_cut(life)), "{good:?}");
            let once = |life: &String| life.ends_with('!') && life.matches('!').count() == 1;
            assert!(failing.iter().all(once), "{failing:?}");
        }
    }
}
