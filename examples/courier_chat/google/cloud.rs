//! Makes clients of what the flags name.

use std::sync::Arc;

use pipeline_gcp::bigquery::CloudBigQuery;
use pipeline_gcp::cloud::Cloud;
use pipeline_gcp::pubsub::{CloudPubSub, PubSub, SubscriptionOptions};

use super::Services;
use super::publish::publish_lines;
use crate::courier_chat::file_source::lines;
use crate::courier_chat::options::{Google, Options};
use crate::courier_chat::places::open_input;
use crate::courier_chat::program::Message;

/// Connects to what the flags name; creates the subscription if a topic is named and it is not there.
///
/// # Errors
/// A name or the account is wrong, or a service cannot be reached.
pub fn connect(options: &Options) -> Result<Services, Message> {
    let google = &options.google;
    let Some(subscription) = &google.input_subscription else {
        return match google.asked() {
            Some(flag) => Err(format!("{flag} is for --publish or --input_subscription")),
            None => Ok(Services::default()),
        };
    };
    let cloud = account(google)?;
    let name = google.resource("--input_subscription", "subscriptions", subscription)?;
    let service = CloudPubSub::new(&cloud, project_of(&name)).lease(google.lease);
    let service: Arc<dyn PubSub> = Arc::new(service);
    if let Some(topic) = &google.input_topic {
        let topic = google.resource("--input_topic", "topics", topic)?;
        let created = async {
            let options = SubscriptionOptions::default().ack_deadline(google.lease);
            service
                .create_subscription_with(&name, &topic, &options)
                .await
        };
        wait(created)?.map_err(|error| error.to_string())?;
    }
    let tables = google.dataset()?.map(|(project, dataset)| {
        let service = CloudBigQuery::new(&cloud, project).dataset(dataset);
        Arc::new(service) as Arc<_>
    });
    Ok(Services {
        subscription: Some((service, name)),
        tables,
    })
}

/// Publishes the input, and says how much it was.
///
/// # Errors
/// The input cannot be read, or the topic refuses a line: what was published is said.
pub fn publish(options: &Options) -> Result<Message, Message> {
    let google = &options.google;
    let topic = google.input_topic.as_deref().unwrap_or_default();
    let topic = google.resource("--input_topic", "topics", topic)?;
    let service = CloudPubSub::new(&account(google)?, project_of(&topic));
    let open = open_input(options)?;
    wait(async {
        let created = service.create_topic(&topic).await;
        created.map_err(|error| error.to_string())?;
        let input = open();
        let input = input.map_err(|error| format!("--input {}: {error}", options.input))?;
        let published = publish_lines(lines(input), &service, &topic, options.publish_interval);
        let lines = published.await?;
        Ok(format!("published {lines} messages to {topic}\n"))
    })?
}

fn account(google: &Google) -> Result<Cloud, Message> {
    let cloud = Cloud::from_env().map_err(|error| error.to_string())?;
    match &google.service_account_file {
        None => Ok(cloud),
        Some(file) => cloud
            .service_account_file(file)
            .map_err(|error| format!("--service_account_file: {error}")),
    }
}

/// Returns the project of a name in full.
fn project_of(name: &str) -> &str {
    name.split('/').nth(1).unwrap_or_default()
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T, Message> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("the tokio runtime cannot start: {error}"))?;
    Ok(runtime.block_on(future))
}
