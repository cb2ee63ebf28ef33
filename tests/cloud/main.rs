//! The connectors against Google's protocols: emulators, and servers of ours that fail by script.
//!
//! `tests/cloud/servers/install.sh` installs the emulators; what is missing is skipped, loudly.
//!
//! | module | what it shows |
//! |---|---|
//! | `bigquery` | tables, streams, load jobs; the emulator and a server that fails by script |
//! | `faults` | the servers that fail by script |
//! | `servers` | the emulators start, one process a test |

mod bigquery;
mod faults;
mod servers;

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
