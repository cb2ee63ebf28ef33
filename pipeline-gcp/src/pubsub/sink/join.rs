//! Waits for several futures, with what the standard library has: `futures` is there with the feature `gcp` only.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use pipeline_core::Result;

/// Waits for all; returns an error as soon as there is one.
pub(super) async fn all<F: Future<Output = Result<()>> + Send>(futures: Vec<F>) -> Result<()> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        let mut error = None;
        running.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(ended) => {
                error = error.take().or(ended.err());
                false
            }
        });
        match error {
            Some(error) => Poll::Ready(Err(error)),
            None if running.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}
