//! courier_chat as a program of its own, on emulators of Google's services.
//!
//! `KILLS` is how often it is killed (20 if it is not set), `KILL_SEED` what the moments are drawn from.

mod google;

use std::env;
use std::thread;
use std::time::Duration;

use oorandom::Rand64;

use self::google::Google;
use crate::child::{EXPECTED, Ended, Place, Running};

/// Longer than a lease, so that what was out when a run was killed has come again.
const IDLE: &str = "15s";

/// A run that waits for that, and for a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[track_caller]
fn finished(running: Running) -> Ended {
    let ended = running.end_within(LIMIT);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended
}

/// Every message is in a base table once, and the final table, its view and the expected file are the same.
#[track_caller]
fn assert_whole(google: &Google, place: &Place, ended: &Ended) {
    assert_eq!(place.csv(), EXPECTED);
    for (table, rows) in [("conversations", "1401"), ("orders", "400")] {
        let sql = format!("SELECT COUNT(*), COUNT(DISTINCT message_id) FROM chat.{table}");
        assert_eq!(google.query(&sql), [[rows, rows]], "{table}");
    }
    ended.assert_agrees(400);
    assert!(place.letters().is_empty());
}

#[test]
fn a_subscription_and_a_dataset_give_the_expected_table() {
    let place = Place::new();
    let Some(google) = Google::start(&place, 0, 0) else {
        return;
    };
    let published = finished(Running::of(&mut google.publisher(&place, &[])));
    assert!(
        published
            .stdout
            .starts_with("published 1801 messages to projects/")
    );
    let reader = &mut google.reader(&place, &["--stop_when_idle", "3s"]);
    let ended = finished(Running::of(reader));
    assert_whole(&google, &place, &ended);
    assert_eq!(ended.count("records taken in"), 1801);
}

#[test]
fn a_share_of_calls_that_fail_changes_nothing() {
    let place = Place::new();
    let Some(google) = Google::start(&place, 20, 20_261_121) else {
        return;
    };
    finished(Running::of(&mut google.publisher(&place, &[])));
    let flags = ["--stop_when_idle", IDLE, "--snapshot_interval", "100ms"];
    let ended = finished(Running::of(&mut google.reader(&place, &flags)));
    assert_whole(&google, &place, &ended);
    let calls = google.calls();
    assert!(calls.refused > 0 && calls.lost > 0, "{calls:?}");
}

#[test]
fn killed_and_with_a_restarted_emulator_it_goes_on() {
    let place = Place::new();
    let Some(mut google) = Google::start(&place, 5, 7) else {
        return;
    };
    let (kills, seed) = (number("KILLS", 20), number("KILL_SEED", 20_261_121));
    let mut draw = Rand64::new(u128::from(seed));
    let pace = ["--publish_interval", "20ms"];
    let publisher = Running::of(&mut google.publisher(&place, &pace));
    let mut resumed = 0;
    for life in 0..kills {
        let interval = ["100ms", "250ms", "1s"][draw.rand_range(0..3) as usize];
        let mut reader =
            Running::of(&mut google.reader(&place, &["--snapshot_interval", interval]));
        if life == kills / 2 {
            thread::sleep(Duration::from_secs(2));
            google.bigquery.restart();
        }
        thread::sleep(Duration::from_millis(draw.rand_range(200..6_000)));
        assert!(
            reader.is_running(),
            "KILL_SEED={seed}, life {life}: {}",
            reader.kill().stderr
        );
        resumed += u64::from(reader.kill().resumed().is_some());
    }
    finished(publisher);
    let ended = finished(Running::of(
        &mut google.reader(&place, &["--stop_when_idle", IDLE]),
    ));
    assert_whole(&google, &place, &ended);
    assert!(resumed > kills / 3, "{resumed} of {kills}");
}
