//! The flags for Google's services, which only a build with the feature `gcp` can follow.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::interval;

/// Names what the program uses on Google Cloud.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Google Cloud (cargo run --features gcp …)")]
pub struct Google {
    /// Read this subscription, and publish nothing: projects/P/subscriptions/S, or S with --project
    #[arg(long = "input_subscription", alias = "input-subscription", value_name = "SUBSCRIPTION",
          conflicts_with_all = ["input", "seed", "conversations", "publish_interval"])]
    pub input_subscription: Option<String>,

    /// The topic that --publish is to, and to which --input_subscription is created if it is not there:
    /// projects/P/topics/T, or T with --project
    #[arg(long = "input_topic", alias = "input-topic", value_name = "TOPIC")]
    pub input_topic: Option<String>,

    /// Publish the lines of --input to --input_topic, which is created if it is not there, and end
    #[arg(long, requires = "input_topic", conflicts_with_all = ["input_subscription", "drain", "draw", "bq_dataset"])]
    pub publish: bool,

    /// The project of names without one
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,

    /// Keep tables and views in this dataset instead of the embedded warehouse: P.D, or D with --project
    #[arg(
        long = "bq_dataset",
        alias = "bq-dataset",
        value_name = "DATASET",
        requires = "input_subscription"
    )]
    pub bq_dataset: Option<String>,

    /// End in good order, as --drain does, when no message has come for so long
    #[arg(long = "stop_when_idle", alias = "stop-when-idle", value_name = "DURATION",
          requires = "input_subscription", value_parser = interval)]
    pub stop_when_idle: Option<Duration>,

    /// For how long a message is leased, again and again until it is acknowledged: so long after a crash, what was out
    /// comes again. From 10s to 600s
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = lease)]
    pub lease: Duration,

    /// Key file of a service account [default: application default credentials]
    #[arg(
        long = "service_account_file",
        alias = "service-account-file",
        value_name = "FILE.json"
    )]
    pub service_account_file: Option<PathBuf>,
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = interval(text)?;
    if (Duration::from_secs(10)..=Duration::from_secs(600)).contains(&lease) {
        Ok(lease)
    } else {
        Err("Pub/Sub takes 10s to 600s".to_owned())
    }
}

impl Google {
    /// Returns the first flag that asks for a service.
    pub fn asked(&self) -> Option<&'static str> {
        [
            (self.input_subscription.is_some(), "--input_subscription"),
            (self.publish, "--publish"),
            (self.input_topic.is_some(), "--input_topic"),
        ]
        .into_iter()
        .find_map(|(asked, flag)| asked.then_some(flag))
    }

    /// Returns a name in full: `projects/P/kind/NAME`.
    ///
    /// # Errors
    /// It is neither in full nor short with `--project`.
    pub fn resource(&self, flag: &str, kind: &str, name: &str) -> Result<String, String> {
        let parts: Vec<&str> = name.split('/').collect();
        match (parts.as_slice(), &self.project) {
            (["projects", project, found, last], _)
                if *found == kind && !project.is_empty() && !last.is_empty() =>
            {
                Ok(name.to_owned())
            }
            ([short], Some(project)) if !short.is_empty() => {
                Ok(format!("projects/{project}/{kind}/{short}"))
            }
            _ => Err(format!(
                "{flag} {name}: write projects/PROJECT/{kind}/NAME, or NAME and --project PROJECT"
            )),
        }
    }

    /// Returns the project and the dataset of `--bq_dataset`.
    ///
    /// # Errors
    /// No project is named.
    pub fn dataset(&self) -> Result<Option<(String, String)>, String> {
        let Some(name) = &self.bq_dataset else {
            return Ok(None);
        };
        let found = match (name.rsplit_once(['.', ':']), &self.project) {
            (Some((project, dataset)), _) => Some((project.to_owned(), dataset.to_owned())),
            (None, Some(project)) => Some((project.clone(), name.clone())),
            (None, None) => None,
        };
        match found {
            Some((project, dataset)) if !project.is_empty() && !dataset.is_empty() => {
                Ok(Some((project, dataset)))
            }
            _ => Err(format!(
                "--bq_dataset {name}: write PROJECT.DATASET, or DATASET and --project PROJECT"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::courier_chat::options::Options;

    fn of(project: Option<&str>, dataset: Option<&str>) -> Google {
        let mut google = Options::parse_from(["courier_chat"]).google;
        google.project = project.map(str::to_owned);
        google.bq_dataset = dataset.map(str::to_owned);
        google
    }

    #[test]
    fn names_are_taken_in_full_or_short() {
        let full = |project, name| of(project, None).resource("--input_topic", "topics", name);
        let expected = Ok("projects/p/topics/t".to_owned());
        assert_eq!(full(None, "projects/p/topics/t"), expected);
        assert_eq!(full(Some("p"), "t"), expected);
        assert_eq!(full(Some("other"), "projects/p/topics/t"), expected);
        let wrong = [
            "t",
            "",
            "projects/p/subscriptions/t",
            "projects//topics/t",
            "a/b",
        ];
        for name in wrong {
            let error = full(None, name).unwrap_err();
            assert!(error.contains("--project PROJECT"), "{error}");
        }
    }

    #[test]
    fn datasets_are_taken_in_full_or_short() {
        let expected = Ok(Some(("p".to_owned(), "d".to_owned())));
        assert_eq!(of(None, Some("p.d")).dataset(), expected);
        assert_eq!(of(Some("p"), Some("d")).dataset(), expected);
        assert_eq!(of(Some("x"), Some("p:d")).dataset(), expected);
        assert_eq!(of(Some("x"), None).dataset(), Ok(None));
        for (project, dataset) in [(None, "d"), (Some("p"), ""), (None, ".d"), (None, "p.")] {
            assert!(of(project, Some(dataset)).dataset().is_err(), "{dataset}");
        }
    }
}
