//! Says why a service cannot be called at all.

use std::path::PathBuf;

/// Says why a service of Google's cannot be called: the account or the address is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// An address cannot be understood.
    #[error("{origin} is {address:?}, which is no address; write http://host:port or host:port")]
    Address {
        /// Where it comes from: a variable of the environment, or the service.
        origin: String,
        /// The address.
        address: String,
    },
    /// The key file of a service account cannot be used.
    #[error("the service account's key file {}: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, without anything that stands in the file.
        reason: String,
    },
    /// There are no application default credentials.
    #[error(
        "no account for Google Cloud: {reason}; run `gcloud auth application-default login`, set \
         GOOGLE_APPLICATION_CREDENTIALS to a key file, or name an emulator"
    )]
    NoAccount {
        /// Why, without anything secret.
        reason: String,
    },
}
