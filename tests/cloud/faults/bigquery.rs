//! BigQuery that fails by script: REST and the Storage Write API, on one port.
//!
//! It keeps what the emulator does not: rows are refused one by one, offsets are exact, a flushed or committed stream says
//! so, REQUIRED columns and unknown fields are looked at, `insertId` drops what comes again, a job's name is taken once.
//! Of GoogleSQL it knows `SELECT * FROM table`, `SELECT 1 FROM table LIMIT 1`, `TRUNCATE TABLE` and `CREATE VIEW` (of
//! which it only takes note).

mod arrow;
mod grpc;
mod rest;
mod script;
mod wire;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline_gcp::bigquery::CloudBigQuery;
use pipeline_gcp::cloud::{Cloud, Service};
use serde_json::Value as Json;

use self::script::Script;
pub use self::script::{Action, Call};
use self::world::World;

/// A server on a thread of its own, until it is dropped.
pub struct BigQueryServer {
    port: u16,
    kept: Arc<Kept>,
    _end: tokio::sync::oneshot::Sender<()>,
}

/// What the server keeps.
#[derive(Default)]
struct Kept {
    world: Mutex<World>,
    script: Mutex<Script>,
}

impl BigQueryServer {
    /// Starts it, with the dataset `d`.
    pub fn start() -> BigQueryServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let kept = Arc::new(Kept::default());
        let routes = rest::routes(Arc::clone(&kept), port).merge(grpc::routes(Arc::clone(&kept)));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    served = axum::serve(listener, routes) => served.expect("it serves"),
                    _ = ended => {}
                }
            });
            runtime.shutdown_background();
        });
        BigQueryServer {
            port,
            kept,
            _end: end,
        }
    }

    /// Returns a client of it that is quick to lose patience.
    pub fn client(&self) -> CloudBigQuery {
        client(&format!("127.0.0.1:{}", self.port)).deadline(Duration::from_secs(3))
    }

    /// Returns its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Counts the rows of requests from now on, and neither reads nor keeps them.
    pub fn discard(&self) {
        lock(&self.kept.world).discarded = Some(0);
    }

    /// Returns how many rows were discarded.
    pub fn discarded(&self) -> usize {
        lock(&self.kept.world).discarded.unwrap_or_default()
    }

    /// Has the calls with these numbers, from 1 and from now on, end like that.
    pub fn on(&self, call: Call, numbers: impl IntoIterator<Item = u32>, action: Action) {
        lock(&self.kept.script).add(call, numbers, action);
    }

    /// Has all calls from now on end like that.
    pub fn always(&self, call: Call, action: Action) {
        lock(&self.kept.script).always(call, action);
    }

    /// Returns how often it was called.
    pub fn calls(&self, call: Call) -> usize {
        lock(&self.kept.script).calls(call)
    }

    /// Returns the rows of a table that can be seen, as objects.
    pub fn rows(&self, table: &str) -> Vec<Json> {
        let world = lock(&self.kept.world);
        let table = world.tables.get(&format!("d.{table}"));
        table.map(|table| table.rows.clone()).unwrap_or_default()
    }

    /// Refuses rows, with the reason that is returned.
    pub fn refuse(&self, reason: impl Fn(&Json) -> Option<String> + Send + 'static) {
        lock(&self.kept.world).refuse = Some(Box::new(reason));
    }

    /// Changes the description of a table, as somebody else would.
    pub fn change(&self, table: &str, change: impl FnOnce(&mut Json)) {
        let mut world = lock(&self.kept.world);
        let table = world.tables.get_mut(&format!("d.{table}"));
        change(&mut table.expect("a table").meta);
    }

    /// Finalises all streams, as somebody else would.
    pub fn finalize_streams(&self) {
        let mut world = lock(&self.kept.world);
        world.streams.values_mut().for_each(|s| s.finalized = true);
    }

    /// Returns the number of write streams that were made.
    pub fn streams(&self) -> usize {
        lock(&self.kept.world).streams.len()
    }
}

/// Makes a client of an address, with the project `p` and the dataset `d`.
pub fn client(address: &str) -> CloudBigQuery {
    let cloud = Cloud::from_env()
        .and_then(|cloud| cloud.endpoint(Service::BigQuery, address))
        .and_then(|cloud| cloud.endpoint(Service::BigQueryStorage, address))
        .expect("an address");
    CloudBigQuery::new(&cloud, "p").dataset("d")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
