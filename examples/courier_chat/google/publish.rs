//! Publishes lines in requests of many.

use std::time::Duration;

use pipeline_gcp::pubsub::{NewMessage, PubSub};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::courier_chat::file_source::Lines;
use crate::courier_chat::program::Message;
use crate::courier_chat::publisher::message;

/// The most messages of a request ("Quotas and limits").
const REQUEST: usize = 1_000;

/// Publishes every line with its id, one every `interval` or as fast as the topic takes them; returns how many.
///
/// Lines are read on a thread of their own, so that one that has come is published while the next is waited for.
///
/// # Errors
/// The input cannot be read, or a line is refused.
pub async fn publish_lines(
    lines: Lines,
    service: &dyn PubSub,
    topic: &str,
    interval: Duration,
) -> Result<u64, Message> {
    let (sender, mut read) = mpsc::channel(REQUEST);
    let reader = std::thread::Builder::new().name("input".to_owned());
    let reader = reader.spawn(move || hand_over(lines, &sender));
    reader.map_err(|error| format!("the input cannot be read: {error}"))?;
    let most = if interval.is_zero() { REQUEST } else { 1 };
    let (mut next, mut published) = (Instant::now(), 0);
    let mut taken = Vec::with_capacity(most);
    while read.recv_many(&mut taken, most).await > 0 {
        let mut request = Vec::with_capacity(taken.len());
        let mut failed = None;
        for line in taken.drain(..) {
            match line {
                Ok(message) => request.push(message),
                Err(error) => failed = Some(error),
            }
        }
        if !interval.is_zero() {
            sleep_until(next).await;
            next += interval;
        }
        let said = |number, what: &dyn std::fmt::Display| {
            format!(
                "{what}; the {number} lines before are published: start again, their ids are known"
            )
        };
        for done in service.publish_each(topic, request).await {
            done.map_err(|error| said(published, &error))?;
            published += 1;
        }
        if let Some(error) = failed {
            return Err(said(published, &error));
        }
    }
    Ok(published)
}

/// Reads lines until the input, or whoever takes them, ends.
fn hand_over(mut lines: Lines, sender: &mpsc::Sender<Result<NewMessage, Message>>) {
    loop {
        let before = lines.counts().lines;
        let line = match lines.next_line() {
            Ok(None) => return,
            Ok(Some(line)) => Ok(message(&line).1),
            Err(error) => Err(format!(
                "the input cannot be read after line {before}: {error}"
            )),
        };
        let ended = line.is_err();
        if sender.blocking_send(line).is_err() || ended {
            return;
        }
    }
}
