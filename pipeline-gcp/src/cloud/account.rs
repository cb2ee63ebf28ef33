//! Who calls.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use google_cloud_auth::credentials::{Builder, Credentials, service_account};

use super::error::CloudError;

/// Holds an account, or where it will be looked for.
pub(super) struct Account {
    /// The key file, for messages.
    file: Option<PathBuf>,
    credentials: Mutex<Option<Credentials>>,
}

impl Account {
    pub(super) fn default_credentials() -> Self {
        Account {
            file: None,
            credentials: Mutex::new(None),
        }
    }

    pub(super) fn service_account_file(path: &Path) -> Result<Self, CloudError> {
        let refuse = |reason: String| CloudError::KeyFile {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        // What serde_json or the client says of the text may quote it.
        let key: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| refuse(format!("line {} is not JSON", error.line())))?;
        if key.get("type").and_then(|kind| kind.as_str()) != Some("service_account") {
            return Err(refuse("\"type\" is not \"service_account\"".to_owned()));
        }
        for field in ["client_email", "private_key", "private_key_id"] {
            if key.get(field).and_then(|value| value.as_str()).is_none() {
                return Err(refuse(format!("{field:?} is missing")));
            }
        }
        super::install_tls();
        let built = service_account::Builder::new(key).build();
        let credentials = built.map_err(|_| refuse("the key cannot be used".to_owned()))?;
        Ok(Account {
            file: Some(path.to_owned()),
            credentials: Mutex::new(Some(credentials)),
        })
    }

    /// Returns the credentials; looks for the default ones at the first call.
    pub(super) fn credentials(&self) -> Result<Credentials, CloudError> {
        let mut credentials = self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(credentials) = &*credentials {
            return Ok(credentials.clone());
        }
        let built = Builder::default().build();
        let built = built.map_err(|error| CloudError::NoAccount {
            reason: error.to_string(),
        })?;
        Ok(credentials.insert(built).clone())
    }
}

/// Shows where the account comes from.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(f, "service account file {}", path.display()),
            None => f.write_str("application default credentials"),
        }
    }
}
