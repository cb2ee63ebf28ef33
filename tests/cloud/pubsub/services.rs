//! The services that keep the contract.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pipeline_gcp::cloud::{Cloud, Service};
use pipeline_gcp::pubsub::{CloudPubSub, LocalPubSub, PubSub};

use crate::faults::pubsub::PubSubServer;
use crate::servers::{PubSubEmulator, PubSubFake, PubSubFront};

/// A service, and what runs it.
pub struct Tested {
    pub name: &'static str,
    pub service: Arc<dyn PubSub>,
    /// Whether what a run had and gave back comes again soon. The emulator takes nothing back of a stream that has
    /// ended, and brings part of it to ended streams again and again: of 300 messages leased for 10 s, 200 come again
    /// after 10 s, the others after 29 s or more.
    pub gives_back: bool,
    _server: Option<Server>,
}

enum Server {
    Scripted(#[allow(dead_code)] PubSubServer),
}

/// The emulator and the fake are started once; nobody ends them, as a test process is short.
static EMULATOR: LazyLock<Option<PubSubEmulator>> = LazyLock::new(PubSubEmulator::start);
static FAKE: LazyLock<Option<(PubSubFake, PubSubFront)>> = LazyLock::new(|| {
    let fake = PubSubFake::start()?;
    let front = PubSubFront::start(&fake.address());
    Some((fake, front))
});

/// Returns a client of the service at an address.
pub fn client(address: &str) -> CloudPubSub {
    let cloud = Cloud::from_env().and_then(|c| c.endpoint(Service::PubSub, address));
    CloudPubSub::new(&cloud.unwrap(), "p")
}

/// Returns all services that are there, each made anew.
pub fn all() -> Vec<Tested> {
    let mut all = vec![Tested {
        name: "local",
        service: Arc::new(LocalPubSub::new()),
        gives_back: true,
        _server: None,
    }];
    let server = PubSubServer::start();
    all.push(Tested {
        name: "scripted",
        service: Arc::new(server.client()),
        gives_back: true,
        _server: Some(Server::Scripted(server)),
    });
    if let Some(emulator) = &*EMULATOR {
        all.push(Tested {
            name: "emulator",
            service: Arc::new(client(&emulator.address()).lease(Duration::from_secs(10))),
            gives_back: false,
            _server: None,
        });
    }
    if let Some((_, front)) = &*FAKE {
        all.push(Tested {
            name: "pstest",
            service: Arc::new(client(&front.address()).lease(Duration::from_secs(10))),
            gives_back: true,
            _server: None,
        });
    }
    all
}

/// Returns a runtime of the test's own.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Keeps the panics that tests ask for out of what is printed.
pub fn silence() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"boom") {
                usual(info);
            }
        }));
    });
}

/// Runs a test against every service.
pub fn each(test: impl AsyncFn(&Tested)) {
    for tested in all() {
        let runtime = runtime();
        let ended = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(50), test(&tested)).await });
        runtime.shutdown_background();
        assert!(ended.is_ok(), "{}: it hangs", tested.name);
    }
}

/// Returns a name that nobody else has.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
