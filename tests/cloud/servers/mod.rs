//! Real servers as child processes, each on a port of its own, gone with the test.
//!
//! `install.sh` beside this file puts them into `target/servers` (or `PIPELINE_TEST_SERVERS`). What is not there is
//! skipped, loudly; with `PIPELINE_TEST_SERVERS_REQUIRED` set it fails the test instead.

mod bigquery;
mod process;
mod pubsub;
mod pubsub_front;
mod storage;

use std::path::PathBuf;

pub use self::bigquery::BigQueryEmulator;
pub use self::process::{Process, free_port};
pub use self::pubsub::{PubSubEmulator, PubSubFake};
pub use self::pubsub_front::PubSubFront;
pub use self::storage::StorageFake;

/// Returns the path of an installed server; `None`, and says so, if it is not there.
fn installed(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PIPELINE_TEST_SERVERS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/servers"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    let said = format!(
        "{} is not installed: run tests/cloud/servers/install.sh",
        path.display()
    );
    assert!(
        std::env::var_os("PIPELINE_TEST_SERVERS_REQUIRED").is_none(),
        "{said}"
    );
    eprintln!("SKIPPED: {said}");
    None
}
