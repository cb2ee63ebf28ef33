//! Runs that go on where one before was killed or stopped, and those that may not.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::child::{EXPECTED, Place, Running, SAMPLE, fed, fed_as};

/// Kills a run in the middle; returns the snapshot that it left.
fn killed(place: &Place, flags: &[&str]) -> u64 {
    let mut running = place.start(&[flags, &["--publish_interval", "3ms"]].concat());
    running.wait_for("200 rows", || place.base_rows() >= 200);
    running.kill();
    let (epoch, _) = place.unfinished().unwrap();
    epoch
}

#[test]
fn a_run_with_other_flags_is_refused_and_the_one_before_goes_on() {
    let place = Place::new();
    let input = place.file("in.json", SAMPLE);
    let other = place.file("other.json", SAMPLE);
    let epoch = killed(&place, &["--input", &input]);
    let before = place.tables();
    let letters = place.path().join("other.ndjson");
    let letters = letters.to_str().unwrap();
    let state = place.state();
    let state = state.to_str().unwrap();
    let refused: [(&[&str], &[&str]); 5] = [
        (&["--input", &other], &["its --input is ", &input, &other]),
        (
            &["--seed", "1"],
            &[&input, "400 conversations generated from seed 1"],
        ),
        (
            &["--input", &input, "--streaming", "false"],
            &["has not ended", "without --streaming false"],
        ),
        (
            &[
                "--input",
                &input,
                "--streaming",
                "false",
                "--state_dir",
                state,
            ],
            &["its --streaming is true, and now it is false"],
        ),
        (&["--input", "-"], &[&input, "standard input"]),
    ];
    for (flags, says) in refused {
        let ended = place.run(flags);
        ended.assert_failed(1, says);
        ended.assert_failed(1, &[&format!("snapshot {epoch}"), state]);
        assert_eq!(ended.stdout, "");
    }
    // The flags of the place stand before those of the test.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier_chat"));
    command.arg("--warehouse").arg(place.warehouse());
    command.args(["--input", &input, "--dead_letter_output", letters]);
    let ended = Running::of(&mut command).end();
    ended.assert_failed(1, &["its --dead_letter_output is ", letters]);

    assert!(place.tables() == before);
    let ended = place.finish(&["--input", &input]);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(ended.count("records taken in"), 1801);
    place.assert_no_parts();
}

#[test]
fn a_changed_pipeline_is_refused_before_anything_is_said_to_go_on() {
    let place = Place::new();
    let input = place.file("in.json", SAMPLE);
    let flags = ["--input", &input];
    let epoch = killed(&place, &flags);
    let before = place.tables();
    let ended = place.run(&[&flags[..], &["--allowed_lateness", "1h"]].concat());
    let snapshot = format!("snapshot {epoch}");
    let says = ["allowed lateness was 86400000 ms", "3600000 ms", "--drain"];
    ended.assert_failed(1, &[&says[..], &[&snapshot]].concat());
    assert_eq!(ended.stdout, "");
    assert!(place.tables() == before);
    assert_eq!(place.unfinished().map(|(epoch, _)| epoch), Some(epoch));
    let ended = place.finish(&flags);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn an_input_that_has_changed_is_refused_and_one_that_has_grown_is_read_on() {
    let place = Place::new();
    let most: String = SAMPLE
        .lines()
        .take(1_500)
        .fold(String::new(), |text, line| text + line + "\n");
    let input = place.file("in.json", &most);
    let flags = ["--input", &input];
    let epoch = killed(&place, &flags);
    for (changed, says) in [
        (
            most.replacen("orderId", "orderID", 1),
            "not those that are in the snapshot",
        ),
        (
            most.lines().take(20).collect::<Vec<_>>().join("\n"),
            "and now there are 20",
        ),
    ] {
        place.file("in.json", changed);
        let ended = place.run(&flags);
        let epoch = format!("has changed since snapshot {epoch} ");
        ended.assert_failed(1, &[&input, &epoch, says, "--drain", "--state_dir"]);
        assert_eq!(ended.stdout, "");
    }
    place.file("in.json", SAMPLE);
    let ended = place.finish(&flags);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), EXPECTED);
    ended.assert_agrees(400);
}

#[test]
fn standard_input_cannot_be_read_again_but_what_was_read_can_be_drained() {
    for input in ["-", "/dev/stdin"] {
        let place = Place::new();
        let (mut running, mut stdin) = fed_as(input, &place, &[]);
        for line in SAMPLE.lines().take(900) {
            writeln!(stdin, "{line}").unwrap();
        }
        running.wait_for("900 rows", || place.base_rows() == 900);
        running.kill();
        drop(stdin);
        let (epoch, messages) = place.unfinished().unwrap();
        assert_eq!(messages, 900);

        let (running, stdin) = fed_as(input, &place, &[]);
        let says = ["cannot be read again", "--drain", "--state_dir"];
        running.end().assert_failed(1, &says);
        drop(stdin);

        let (running, stdin) = fed_as(input, &place, &["--drain"]);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.resumed(), Some(epoch));
        assert!(ended.stdout.contains("\nDrained: "), "{}", ended.stdout);
        assert_eq!(ended.count("records taken in"), 900);
        assert_eq!(place.base_rows(), 900);
        // Open visits are written: the view has them too.
        assert!(ended.stdout.contains("gives the same"), "{}", ended.stdout);
        drop(stdin);

        let (running, mut stdin) = fed_as(input, &place, &[]);
        stdin.write_all(SAMPLE.as_bytes()).unwrap();
        drop(stdin);
        let ended = running.end();
        assert_eq!((ended.code, ended.resumed()), (Some(0), None));
        assert_eq!(place.csv(), EXPECTED);
        assert_eq!(place.base_rows(), 1801);
    }
}

#[test]
fn standard_input_that_had_ended_need_not_be_read_again() {
    let place = Place::new();
    let (mut running, mut stdin) = fed(&place, &[]);
    write!(stdin, "\n{SAMPLE}\n\n").unwrap();
    running.wait_for("all rows", || place.base_rows() == 1801);
    // The last visits go no further than into the snapshot.
    let foreign = Connection::open(place.warehouse().join("warehouse.sqlite")).unwrap();
    foreign.busy_timeout(Duration::from_secs(30)).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop(stdin);
    thread::sleep(Duration::from_millis(1_000));
    assert!(running.is_running());
    running.kill();
    foreign.execute_batch("ROLLBACK").unwrap();
    drop(foreign);
    let missing = 400 - place.rows("customer_courier_conversations");
    assert!(missing > 0);

    let (epoch, messages) = place.unfinished().unwrap();
    assert_eq!(messages, 1801);
    let mut command = place.command(&["--input", "-"]);
    let ended = Running::of(command.stdin(Stdio::null())).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), EXPECTED);
    ended.assert_agrees(400);
    assert_eq!(ended.count("records taken in"), 1801);
    assert_eq!(ended.count("blank lines skipped"), 2);
    place.assert_no_parts();
}

#[test]
fn a_second_process_is_refused_over_the_same_snapshots() {
    let place = Place::new();
    let state = place.path().join("snapshots");
    let state = state.to_str().unwrap();
    let (mut first, mut stdin) = fed(&place, &["--state_dir", state]);
    let view = "SELECT COUNT(*) FROM customer_courier_conversations_view";
    first.wait_for("the view", || place.try_query(view).is_some());
    thread::sleep(Duration::from_millis(200));
    let other = Place::new();
    let ended = other.run(&["--state_dir", state]);
    let holder = format!("(pid {})", first.id());
    ended.assert_failed(1, &["--state_dir: ", state, "in use", &holder]);
    stdin.write_all(SAMPLE.as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(first.end().code, Some(0));
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn a_batch_run_with_a_folder_for_snapshots_goes_on_too() {
    let input = [
        "--seed",
        "3",
        "--conversations",
        "4000",
        "--streaming",
        "false",
    ];
    let whole = Place::new();
    whole.finish(&input);
    assert!(!whole.state().exists());

    let place = Place::new();
    let state = place.state();
    let state = [
        "--state_dir",
        state.to_str().unwrap(),
        "--snapshot_interval",
        "20ms",
    ];
    let flags = [&input[..], &state].concat();
    let mut running = place.start(&flags);
    running.wait_for("1,000 rows", || place.base_rows() >= 1_000);
    assert_eq!(running.kill().code, None, "it has ended too soon");
    let (epoch, _) = place.unfinished().unwrap();
    let ended = place.finish(&flags);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), whole.csv());
    assert!(place.tables() == whole.tables());
    assert_eq!(ended.count("records taken in"), place.base_rows() as u64);
}
