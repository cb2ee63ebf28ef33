//! Generated conversations.

use crate::child::Place;

#[test]
fn streaming_and_batch_agree_over_generated_conversations() {
    let flags = ["--seed", "11", "--conversations", "2000"];
    let run = |more: &[&str]| {
        let place = Place::new();
        let ended = place.finish(&[&flags, more].concat());
        ended.assert_agrees(2000);
        assert_eq!(ended.count("order events"), 2000);
        assert_eq!(ended.count("dropped as late"), 0);
        assert!(
            ended
                .stdout
                .contains("2000 conversations generated from seed 11")
        );
        (place.csv(), place.tables())
    };
    let (csv, tables) = run(&[]);
    assert_eq!(csv.lines().count(), 2001);
    let again = run(&["--streaming", "false"]);
    assert!(csv == again.0 && tables == again.1);
}

#[test]
fn another_seed_gives_other_conversations() {
    let csv = |seed: &str| {
        let place = Place::new();
        let flags = ["--seed", seed, "--conversations", "50", "--streaming=false"];
        place.finish(&flags).assert_agrees(50);
        place.csv()
    };
    let first = csv("1");
    assert_eq!(first, csv("1"));
    assert_ne!(first, csv("2"));
}
