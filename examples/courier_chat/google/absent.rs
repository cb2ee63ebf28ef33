//! A build without Google's clients.

use super::Services;
use crate::courier_chat::options::Options;
use crate::courier_chat::program::Message;

/// Refuses what needs the clients.
///
/// # Errors
/// A flag asks for a service.
pub fn connect(options: &Options) -> Result<Services, Message> {
    match options.google.asked() {
        None => Ok(Services::default()),
        Some(flag) => Err(refused(flag)),
    }
}

/// Refuses to publish.
///
/// # Errors
/// Always.
pub fn publish(_options: &Options) -> Result<Message, Message> {
    Err(refused("--publish"))
}

fn refused(flag: &str) -> Message {
    let arguments: Vec<String> = std::env::args().skip(1).map(|a| quoted(&a)).collect();
    format!(
        "{flag} needs Google's client libraries, which this build leaves out. Run:\n  \
         cargo run --features gcp --example courier_chat -- {}",
        arguments.join(" ")
    )
}

/// Writes an argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
