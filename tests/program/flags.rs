//! What is refused, how it is said, and that it is said before any work.

use crate::child::{EXPECTED, Place};

#[test]
fn wrong_flags_are_refused_as_usage() {
    let refusals: [(&[&str], &[&str]); 12] = [
        (
            &["--no_such_flag"],
            &["unexpected argument", "--no_such_flag"],
        ),
        (&["--publish_intervall", "1s"], &["--publish_interval"]),
        (
            &["--publish_interval", "5"],
            &["--publish_interval", "such as 500ms"],
        ),
        (
            &["--publish_interval", "500000000000years"],
            &["--publish_interval", "longer than 100 years"],
        ),
        (
            &["--allowed_lateness", "101years"],
            &["--allowed_lateness", "longer than 100 years"],
        ),
        (&["--max_disorder", "much"], &["--max_disorder", "such as"]),
        (
            &["--runner", "flink"],
            &["flink", "possible values: direct"],
        ),
        (
            &["--direct_num_workers", "257"],
            &["257", "from 1 to 256, or 0 for one worker a core"],
        ),
        (&["--direct_num_workers=-1"], &["-1", "from 1 to 256"]),
        (
            &["--streaming", "perhaps"],
            &["possible values: true, false"],
        ),
        (&["--input", "x", "--seed", "1"], &["cannot be used with"]),
        (&["stray"], &["unexpected argument 'stray'"]),
    ];
    for (flags, says) in refusals {
        let place = Place::new();
        place.run(flags).assert_failed(2, says);
        assert!(!place.warehouse().exists(), "{flags:?}");
    }
}

#[test]
fn both_spellings_are_taken() {
    for spelling in ["--publish_interval", "--publish-interval"] {
        let place = Place::new();
        let flags = [spelling, "1ms", "--seed", "1", "--conversations", "5"];
        place.finish(&flags).assert_agrees(5);
    }
    for (lateness, disorder) in [
        ("--allowed_lateness", "--max_disorder"),
        ("--allowed-lateness", "--max-disorder"),
    ] {
        let place = Place::new();
        place.finish(&[lateness, "1h", disorder, "2m"]);
        assert_eq!(place.csv(), EXPECTED);
    }
}

#[test]
fn help_lists_every_flag_and_the_version_is_told() {
    let place = Place::new();
    let help = place.finish(&["--help"]).stdout;
    for flag in [
        "--input <FILE>",
        "--publish_interval <DURATION>",
        "--warehouse <DIR>",
        "--output <FILE.csv>",
        "--dead_letter_output <FILE.ndjson>",
        "--max_disorder <DURATION>",
        "--allowed_lateness <DURATION>",
        "--streaming <BOOL>",
        "--runner <RUNNER>",
        "--direct_num_workers <N>",
        "--draw",
        "--seed <N>",
        "--conversations <N>",
    ] {
        assert!(help.contains(flag), "no {flag} in\n{help}");
    }
    assert!(
        place
            .finish(&["--version"])
            .stdout
            .starts_with("courier_chat ")
    );
    assert!(!place.warehouse().exists());
}

#[test]
fn drawing_touches_nothing() {
    for (flags, source) in [
        (&["--draw"][..], "ReadSubscription"),
        (&["--draw", "--streaming=false"], "ReadFile"),
        // Not even the input.
        (&["--draw", "--input", "/no/such/file"], "ReadSubscription"),
    ] {
        let place = Place::new();
        let chart = place.finish(flags).stdout;
        assert!(chart.starts_with("flowchart"), "{chart}");
        assert!(
            chart.contains(source) && chart.contains("WriteFinal"),
            "{chart}"
        );
        assert!(chart.contains(">Sessions of 30m<"), "{chart}");
        let left = std::fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, 0, "{flags:?} left files behind");
    }
}

#[test]
fn inputs_that_cannot_be_read_are_refused_before_any_work() {
    let place = Place::new();
    let missing = place.path().join("missing.json");
    let missing = missing.to_str().unwrap();
    let folder = place.path().to_str().unwrap();
    for streaming in ["--streaming=true", "--streaming=false"] {
        place
            .run(&[streaming, "--input", missing])
            .assert_failed(1, &["error: --input ", missing, "No such file"]);
        place
            .run(&[streaming, "--input", folder])
            .assert_failed(1, &["error: --input ", folder, "is a folder"]);
    }
    assert!(!place.warehouse().exists());
}

#[test]
fn results_that_cannot_be_written_are_refused_before_any_work() {
    for flag in ["--output", "--dead_letter_output"] {
        let place = Place::new();
        let in_missing = place.path().join("missing/file");
        let folder = place.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        for path in [
            in_missing.as_path(),
            folder.as_path(),
            "/proc/file".as_ref(),
        ] {
            let path = path.to_str().unwrap();
            // The flag stands there already; a command of its own.
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier_chat"));
            command
                .arg("--warehouse")
                .arg(place.warehouse())
                .args([flag, path]);
            let ended = crate::child::Running::of(&mut command).end();
            ended.assert_failed(1, &[&format!("error: {flag}: "), path]);
        }
        assert!(!place.warehouse().exists());
    }
}

#[test]
fn two_files_cannot_be_one() {
    let place = Place::new();
    let input = place.file("in.json", crate::child::SAMPLE);
    let warehouse = place.warehouse();
    place.finish(&[]);
    let own = [
        "sqlite",
        "sqlite-wal",
        "sqlite-shm",
        "sqlite-journal",
        "lock",
    ];
    let own = own.map(|end| format!("{}/warehouse.{end}", warehouse.display()));
    let own = own
        .iter()
        .map(|own| (&**own, "x", "is also the warehouse's own file"));
    for (output, letters, says) in own.chain([
        ("x", "./x", "--dead_letter_output ./x: is also --output"),
        ("in.json", "x", "--output in.json: is also --input"),
        (
            "x",
            "in.json",
            "--dead_letter_output in.json: is also --input",
        ),
    ]) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier_chat"));
        command
            .current_dir(place.path())
            .arg("--warehouse")
            .arg(&warehouse);
        command.args(["--input", &input, "--output", output]);
        command.args(["--dead_letter_output", letters]);
        let ended = crate::child::Running::of(&mut command).end();
        ended.assert_failed(1, &[says]);
    }
    assert_eq!(
        std::fs::read_to_string(input).unwrap(),
        crate::child::SAMPLE
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut command = place.command(&["--seed=1", "--conversations=5"]);
    // The other end of the pipe is closed before anything is printed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.stdout(writer).stderr(std::process::Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(place.csv().lines().count(), 6);
}
