//! Where the services are.

use super::error::CloudError;

/// Names a service that has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Pub/Sub.
    PubSub,
    /// Cloud Storage.
    Storage,
    /// BigQuery's tables, queries, `insertAll` and load jobs.
    BigQuery,
    /// BigQuery's Storage Write API.
    BigQueryStorage,
}

impl Service {
    const ALL: [Service; 4] = [
        Service::PubSub,
        Service::Storage,
        Service::BigQuery,
        Service::BigQueryStorage,
    ];

    /// Returns the variable of the environment that names an emulator.
    pub fn emulator_variable(self) -> &'static str {
        match self {
            Service::PubSub => "PUBSUB_EMULATOR_HOST",
            Service::Storage => "STORAGE_EMULATOR_HOST",
            Service::BigQuery => "BIGQUERY_EMULATOR_HOST",
            Service::BigQueryStorage => "BIGQUERY_STORAGE_EMULATOR_HOST",
        }
    }
}

/// Holds an address: `http://host:port`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// Returns the address with its scheme.
    pub(crate) fn url(&self) -> &str {
        &self.0
    }

    fn parse(address: &str) -> Option<Endpoint> {
        let (scheme, host) = address
            .trim()
            .split_once("://")
            .unwrap_or(("http", address.trim()));
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let url = format!("{scheme}://{}", host.trim_end_matches('/'));
        let parsed = reqwest::Url::parse(&url).ok()?;
        // A password in an address would stand in messages.
        let bare = parsed.username().is_empty() && parsed.password().is_none();
        let whole = parsed.path() == "/" && parsed.query().is_none();
        (bare && whole && parsed.host_str().is_some()).then_some(Endpoint(url))
    }
}

/// Holds the addresses that are not Google's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints([Option<Endpoint>; Service::ALL.len()]);

impl Endpoints {
    pub(super) fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Endpoints, CloudError> {
        let mut endpoints = Endpoints::default();
        for service in Service::ALL {
            let name = service.emulator_variable();
            if let Some(address) = variable(name).filter(|address| !address.trim().is_empty()) {
                endpoints.take(service, name.to_owned(), &address)?;
            }
        }
        Ok(endpoints)
    }

    pub(super) fn set(&mut self, service: Service, address: &str) -> Result<(), CloudError> {
        self.take(service, format!("the address of {service:?}"), address)
    }

    pub(super) fn get(&self, service: Service) -> Option<&Endpoint> {
        self.0[service as usize].as_ref()
    }

    fn take(&mut self, service: Service, origin: String, address: &str) -> Result<(), CloudError> {
        let Some(endpoint) = Endpoint::parse(address) else {
            // What stands before an @ may be a password.
            let address = match address.rsplit_once('@') {
                Some((_, host)) => format!("…@{host}"),
                None => address.to_owned(),
            };
            return Err(CloudError::Address { origin, address });
        };
        self.0[service as usize] = Some(endpoint);
        Ok(())
    }
}
