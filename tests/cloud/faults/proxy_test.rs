//! The proxy itself, before a server that counts.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{Calls, Proxy, Share};
use crate::servers::StorageFake;

/// The calls that fail are those that the proxy counts, and an upload whose answer is lost has taken place.
#[test]
fn a_share_of_calls_fails_before_or_after_its_effect() {
    let Some(server) = StorageFake::start("bucket") else {
        return;
    };
    let share = Share {
        percent: 20,
        seed: 7,
    };
    let proxy = Proxy::start(&server.address(), share);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (before, behind) = (proxy.address(), server.address());
    let (failed, stored) = runtime.block_on(upload(&before, &behind, 200));
    let calls = proxy.calls();
    let Calls {
        made,
        refused,
        lost,
    } = calls["/upload/storage/v/b/bucket/o"];
    assert_eq!(made, 200);
    assert!(refused > 5 && lost > 5, "{calls:?}");
    assert_eq!(failed, refused + lost);
    assert_eq!(stored, made - refused);
}

/// Uploads objects through the proxy; counts those that failed, and those that are there.
async fn upload(proxy: &str, server: &str, number: u64) -> (u64, u64) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut failed = 0;
    for index in 0..number {
        let uri =
            format!("http://{proxy}/upload/storage/v1/b/bucket/o?uploadType=media&name={index}");
        let request = Request::post(uri).body(Full::new(Bytes::from("x")));
        let answer = client.request(request.expect("a request")).await;
        failed += u64::from(!answer.expect("an answer").status().is_success());
    }
    let uri = format!("{server}/storage/v1/b/bucket/o");
    let listed = client.get(uri.parse().expect("an address")).await;
    let listed = listed.expect("an answer").into_body().collect().await;
    let listed = listed.expect("a body").to_bytes();
    let listed: serde_json::Value = serde_json::from_slice(&listed).expect("JSON");
    let stored = listed["items"].as_array().map_or(0, Vec::len);
    (failed, stored as u64)
}
