//! Standard input, of a process of its own: this test program again, told by its environment.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;

use super::text_files::{all_lines, gzip, names};

const OUTPUT: &str = "TEXT_STDIN_OUTPUT";
const STOP: &str = "TEXT_STDIN_STOP";

fn child(output: &Path, stops: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "text_stdin::copies_standard_input", "--ignored"])
        .env(OUTPUT, output)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if stops {
        command.env(STOP, "yes");
    }
    command.spawn().unwrap()
}

fn wait(mut child: Child) {
    let until = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the run does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Runs in the other process: standard input, line by line, into a file.
#[test]
#[ignore = "the tests beside it run it, with standard input"]
fn copies_standard_input() {
    let Some(output) = std::env::var_os(OUTPUT) else {
        return;
    };
    let pipeline = Pipeline::build(|p| {
        p.read_lines("Lines", Text::lines("-"))
            .drop_dead_letters("no line is that long")
            .write("Copy", TextSink::lines(&output).without_sharding());
    })
    .unwrap();
    let mut runner = DirectRunner::new().workers(2);
    let stop = runner.stop_handle();
    if std::env::var_os(STOP).is_some() {
        runner = runner.report(Duration::from_millis(10), move |metrics| {
            if metrics.get("Lines/Read", "out") == 2 {
                stop.stop();
            }
        });
    }
    runner.run(&pipeline).unwrap();
}

#[test]
fn standard_input_is_read_to_its_end() {
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n:05}")).collect();
    let text = lines.join("\r\n").into_bytes();
    for bytes in [gzip(&text), text, Vec::new()] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child(&folder.path().join("out"), false);
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        wait(child);
        let expected = if bytes.is_empty() { &[][..] } else { &lines };
        assert!(all_lines(folder.path()) == expected);
    }
}

#[test]
fn a_run_stops_while_standard_input_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child(&folder.path().join("out"), true);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\ntwo\nthr").unwrap();
    input.flush().unwrap();
    wait(child);
    // What had come as whole lines is written; the pipe was open to the end.
    assert_eq!(names(folder.path()), ["out"]);
    assert_eq!(all_lines(folder.path()), ["one", "two"]);
    drop(input);
}

/// A pipe by name is not a regular file either.
#[test]
fn a_named_pipe_is_read_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut writer = Command::new("sh")
        .args(["-c", "printf 'a\\nb\\n' > \"$0\"", pipe.to_str().unwrap()])
        .spawn()
        .unwrap();
    let source = Text::lines(pipe.to_str().unwrap());
    let read = super::text_files::read_lines(&source, &DirectRunner::new().workers(1)).unwrap();
    assert_eq!(read.ok, ["a", "b"]);
    assert!(writer.wait().unwrap().success());
}

/// To open a pipe that nobody writes takes for ever; a worker must not.
#[test]
fn a_run_stops_while_a_pipe_has_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let runner = DirectRunner::new().workers(1);
    let stop = runner.stop_handle();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let source = Text::lines(pipe.to_str().unwrap());
        let read = super::text_files::read_lines(&source, &runner);
        sender.send(read.unwrap().result.end()).unwrap();
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(ended.try_recv().is_err(), "it must wait for a writer");
    stop.stop();
    let end = ended.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(end, End::Stopped { .. }));
}
