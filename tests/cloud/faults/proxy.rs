//! Stands before an emulator and has some calls fail, as a network and a busy service do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use oorandom::Rand32;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Which calls fail.
#[derive(Clone, Copy)]
pub struct Share {
    /// Out of a hundred calls, so many fail: half of them before they reach the server, half after they have had their
    /// effect, so that the caller cannot know.
    pub percent: u32,
    /// Chooses them.
    pub seed: u64,
}

/// Counts calls by path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// All of them.
    pub made: u64,
    /// Those that were answered with an error and did not reach the server.
    pub refused: u64,
    /// Those that the server carried out, and that were answered with an error.
    pub lost: u64,
}

/// A reverse proxy for HTTP/1.1, HTTP/2 without TLS, and so gRPC.
pub struct Proxy {
    address: SocketAddr,
    calls: Arc<Mutex<BTreeMap<String, Calls>>>,
    runtime: Option<Runtime>,
}

struct Upstream {
    authority: Authority,
    share: Share,
    random: Mutex<Rand32>,
    calls: Arc<Mutex<BTreeMap<String, Calls>>>,
    http1: Client<HttpConnector, Incoming>,
    http2: Client<HttpConnector, Incoming>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    Refused,
    Lost,
}

impl Proxy {
    /// Stands before the server at `upstream`, `host:port` with or without `http://`.
    pub fn start(upstream: &str, share: Share) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its address");
        let calls = Arc::default();
        let authority = upstream.trim_start_matches("http://");
        let upstream = Arc::new(Upstream {
            authority: authority.parse().expect("an address"),
            share,
            random: Mutex::new(Rand32::new(share.seed)),
            calls: Arc::clone(&calls),
            http1: Client::builder(TokioExecutor::new()).build_http(),
            http2: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
        });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = Arc::clone(&upstream);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let upstream = Arc::clone(&upstream);
                        async move { upstream.call(request).await }
                    });
                    // A connection that breaks is what callers must bear.
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Proxy {
            address,
            calls,
            runtime: Some(runtime),
        }
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Counts the calls so far, by path (numbers in it are left out).
    pub fn calls(&self) -> BTreeMap<String, Calls> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Upstream {
    async fn call(&self, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let is_grpc = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let fate = self.fate(request.uri().path());
        if fate == Fate::Refused {
            return Ok(unavailable(is_grpc));
        }
        let answered = self.pass(request).await;
        Ok(match (answered, fate) {
            (Ok(response), Fate::Passed) => response.map(BodyExt::boxed_unsync),
            // Read to its end, so that the call has had its effect.
            (Ok(response), _) if !is_grpc => {
                let _ = response.into_body().collect().await;
                unavailable(false)
            }
            (Ok(_), _) | (Err(_), _) => unavailable(is_grpc),
        })
    }

    fn fate(&self, path: &str) -> Fate {
        let drawn = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            random.rand_range(0..200)
        };
        let fate = match drawn {
            drawn if drawn < self.share.percent => Fate::Refused,
            drawn if drawn < 2 * self.share.percent => Fate::Lost,
            _ => Fate::Passed,
        };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = calls
            .entry(path.replace(|c: char| c.is_ascii_digit(), ""))
            .or_default();
        counted.made += 1;
        counted.refused += u64::from(fate == Fate::Refused);
        counted.lost += u64::from(fate == Fate::Lost);
        fate
    }

    async fn pass(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(uri).expect("it was one");
        request.headers_mut().remove(HOST);
        match request.version() {
            Version::HTTP_2 => self.http2.request(request).await,
            _ => self.http1.request(request).await,
        }
    }
}

/// What an overloaded service says.
fn unavailable(is_grpc: bool) -> Response<Body> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(empty);
    if is_grpc {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, "application/grpc".parse().expect("a value"));
        headers.insert("grpc-status", "14".parse().expect("a value"));
        headers.insert("grpc-message", "injected".parse().expect("a value"));
    } else {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
