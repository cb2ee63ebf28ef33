//! The connectors against Google's protocols: emulators, and servers of ours that fail by script.
//!
//! `tests/cloud/servers/install.sh` installs the emulators; what is missing is skipped, loudly.
//!
//! | module | what it shows |
//! |---|---|
//! | `bigquery` | BigQuery: tables, streams, load jobs; the emulator and a server that fails by script |
//! | `courier_chat` | the program on emulators: the expected table, also killed, with failing calls, a restarted service |
//! | `faults` | servers that fail by script, and a proxy that has a share of calls fail |
//! | `pubsub` | Pub/Sub: one contract for all services, and what happens when things fail |
//! | `servers` | the emulators start, one process a test |
//! | `storage` | Cloud Storage: one suite for all storages, and what happens when things fail |

mod bigquery;
#[path = "../program/child.rs"]
#[allow(dead_code)]
mod child;
mod courier_chat;
mod faults;
mod pubsub;
mod servers;
mod storage;

/// Every server that is installed starts and is gone with its test.
#[test]
fn servers_start() {
    let started = [
        servers::PubSubEmulator::start().map(|server| server.address()),
        servers::PubSubFake::start().map(|server| server.address()),
        servers::StorageFake::start("bucket").map(|server| server.address()),
        servers::BigQueryEmulator::start(None).map(|server| server.address()),
    ];
    for address in started.iter().flatten() {
        let address = address.trim_start_matches("http://");
        assert!(std::net::TcpStream::connect(address).is_err(), "{address}");
    }
}
