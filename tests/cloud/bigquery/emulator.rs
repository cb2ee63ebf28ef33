//! The emulator, one process for all tests that run at the same time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pipeline_gcp::bigquery::{CloudBigQuery, WriteMethod};
use pipeline_gcp::cloud::{Cloud, Service};

use super::table_place::Place;
use crate::servers::BigQueryEmulator;

/// The emulator with the dataset `d`.
pub struct Emulator(BigQueryEmulator);

static RUNNING: Mutex<Weak<Emulator>> = Mutex::new(Weak::new());
static IN_USE: Mutex<()> = Mutex::new(());

/// The emulator, for one test at a time: calls that meet in its database are refused now and then.
pub struct Turn {
    emulator: Arc<Emulator>,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Turn {
    type Target = Emulator;

    fn deref(&self) -> &Emulator {
        &self.emulator
    }
}

/// Starts the emulator, or takes the one that runs when it is free; it ends with the last test that uses it.
pub fn shared() -> Option<Turn> {
    let emulator = running()?;
    Some(Turn {
        emulator,
        _turn: IN_USE.lock().unwrap_or_else(PoisonError::into_inner),
    })
}

fn running() -> Option<Arc<Emulator>> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(emulator) = running.upgrade() {
        return Some(emulator);
    }
    let emulator = Arc::new(Emulator(BigQueryEmulator::start(None)?));
    emulator.make_dataset("d");
    *running = Arc::downgrade(&emulator);
    Some(emulator)
}

impl Emulator {
    pub fn make_dataset(&self, name: &str) {
        let project = BigQueryEmulator::PROJECT;
        let url = format!(
            "{}/bigquery/v2/projects/{project}/datasets",
            self.0.address()
        );
        let reference = serde_json::json!({"projectId": project, "datasetId": name});
        let body = serde_json::json!({"datasetReference": reference});
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let made = runtime
            .expect("a runtime")
            .block_on(async { reqwest::Client::new().post(url).json(&body).send().await });
        let made = made.expect("an answer");
        assert!(made.status().is_success(), "{made:?}");
    }

    pub fn client(&self) -> CloudBigQuery {
        let cloud = Cloud::from_env()
            .and_then(|cloud| cloud.endpoint(Service::BigQuery, &self.0.address()))
            .and_then(|cloud| cloud.endpoint(Service::BigQueryStorage, &self.0.storage_address()))
            .expect("addresses");
        CloudBigQuery::new(&cloud, BigQueryEmulator::PROJECT).dataset("d")
    }

    pub fn place(&self, prefix: &str) -> Place {
        let mut place = Place::new(Arc::new(self.client()), true, prefix);
        // Its tables take note of a new column, and have none.
        place.adds_columns = false;
        // Its write streams give a STRUCT no fields.
        place.nested = WriteMethod::InsertAll;
        place
    }
}
