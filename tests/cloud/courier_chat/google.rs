//! Emulators with a topic, a subscription and a dataset, as somebody who runs the program has made them.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pipeline_gcp::cloud::{Cloud, Service};
use pipeline_gcp::pubsub::{CloudPubSub, PubSub, SubscriptionOptions};
use serde_json::Value;

use crate::child::Place;
use crate::faults::{Calls, Proxy, Share};
use crate::servers::{BigQueryEmulator, PubSubEmulator};

const PROJECT: &str = BigQueryEmulator::PROJECT;
const TOPIC: &str = "projects/test-project/topics/chat";
const SUBSCRIPTION: &str = "projects/test-project/subscriptions/chat-sub";

/// After a crash, what was out comes again within that time: the shortest that Pub/Sub has.
pub const LEASE: Duration = Duration::from_secs(10);

/// The services, each behind a proxy.
pub struct Google {
    _pubsub: PubSubEmulator,
    pub bigquery: BigQueryEmulator,
    before: [Proxy; 3],
    runtime: tokio::runtime::Runtime,
}

impl Google {
    /// Starts them, if they are installed, and has a share of the calls fail.
    pub fn start(place: &Place, percent: u32, seed: u64) -> Option<Google> {
        let pubsub = PubSubEmulator::start()?;
        let bigquery = BigQueryEmulator::start(Some(&place.path().join("bigquery")))?;
        let share = Share { percent, seed };
        let google = Google {
            before: [
                Proxy::start(&pubsub.address(), share),
                Proxy::start(&bigquery.address(), share),
                Proxy::start(&bigquery.storage_address(), share),
            ],
            _pubsub: pubsub,
            bigquery,
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
        };
        google.prepare();
        Some(google)
    }

    /// The program, with the services as its environment names them.
    pub fn command(&self, place: &Place, flags: &[&str]) -> Command {
        let mut command = place.command(flags);
        let [pubsub, bigquery, storage] = self.before.each_ref().map(Proxy::address);
        command
            .env("PUBSUB_EMULATOR_HOST", pubsub)
            .env("BIGQUERY_EMULATOR_HOST", bigquery)
            .env("BIGQUERY_STORAGE_EMULATOR_HOST", storage);
        command
    }

    /// The program as the reader of the subscription, with its tables in the dataset.
    pub fn reader(&self, place: &Place, flags: &[&str]) -> Command {
        let mut command = self.command(place, &["--input_subscription", SUBSCRIPTION]);
        command.args(["--project", PROJECT, "--bq_dataset", "chat"]);
        command.args(["--lease", "10s"]).args(flags);
        command
    }

    /// The program as the publisher.
    pub fn publisher(&self, place: &Place, flags: &[&str]) -> Command {
        let mut command = self.command(place, &["--publish", "--input_topic", TOPIC]);
        command.args(flags);
        command
    }

    /// Counts the calls of all services.
    pub fn calls(&self) -> Calls {
        let counted = self
            .before
            .iter()
            .flat_map(|proxy| proxy.calls().into_values());
        counted.fold(Calls::default(), |all, calls| Calls {
            made: all.made + calls.made,
            refused: all.refused + calls.refused,
            lost: all.lost + calls.lost,
        })
    }

    /// Asks the emulator, not through the proxy; tables are named with their dataset.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let body = serde_json::json!({
            "query": sql,
            "useLegacySql": false,
        });
        let answer = self.post("queries", &body);
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let cell = |cell: &Value| match &cell["v"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row = |row: &Value| {
            row["f"]
                .as_array()
                .map(|cells| cells.iter().map(cell).collect())
        };
        rows.iter().filter_map(row).collect()
    }

    fn prepare(&self) {
        let dataset = serde_json::json!({
            "datasetReference": {"projectId": PROJECT, "datasetId": "chat"}
        });
        self.post("datasets", &dataset);
        let cloud = Cloud::from_env().expect("an environment");
        let address = self._pubsub.address();
        let cloud = cloud
            .endpoint(Service::PubSub, &address)
            .expect("an address");
        let service = CloudPubSub::new(&cloud, PROJECT);
        let options = SubscriptionOptions::default().ack_deadline(LEASE);
        self.runtime.block_on(async {
            service.create_topic(TOPIC).await.expect("a topic");
            let created = service.create_subscription_with(SUBSCRIPTION, TOPIC, &options);
            created.await.expect("a subscription");
        });
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        let address = self.bigquery.address();
        let uri = format!("{address}/bigquery/v2/projects/{PROJECT}/{what}");
        let request = Request::post(uri).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        self.runtime.block_on(async {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let answer = client.request(request.expect("a request")).await;
            let answer = answer.expect("an answer");
            let status = answer.status();
            let text = answer
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes();
            assert!(status.is_success(), "{what}: {status} {text:?}");
            serde_json::from_slice(&text).expect("JSON")
        })
    }
}
