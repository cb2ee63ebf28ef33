//! Cloud Storage's JSON API: generations, preconditions, resumable uploads, and failures by script.
//!
//! It keeps what fake-gcs-server does not: the precondition of a copy, a generation that is gone, a copy in
//! several steps, an upload whose session is forgotten.

mod answers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use self::answers::{cut, decoded, said};

/// The objects of a page of a listing.
const PAGE: usize = 3;

/// What a copy of more bytes than this needs two calls for.
const COPIED_AT_ONCE: usize = 1_000_000;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    List,
    Stat,
    Read,
    Put,
    BeginUpload,
    UploadPart,
    UploadStatus,
    Copy,
    Delete,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered so, and has no effect.
    Status(u16, &'static str),
    /// The connection is cut; it has no effect.
    CutBefore,
    /// It takes effect, and the connection is cut before the answer.
    CutAfter,
    /// The body is cut behind so many bytes.
    CutBody(usize),
    /// It is never answered.
    Silence,
    /// It is answered so much later.
    Delay(Duration),
    /// The session of the upload is forgotten.
    Forget,
    /// Only so many bytes of the part are kept.
    KeepOnly(usize),
}

struct Rule {
    call: Call,
    /// The name has this in it.
    of: String,
    /// So many calls go well before.
    skip: u32,
    times: u32,
    fault: Fault,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    generation: u64,
    updated: String,
    metadata: Value,
}

struct Session {
    name: String,
    metadata: Value,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    sessions: HashMap<u64, Session>,
    rules: Vec<Rule>,
    journal: Vec<(Call, String)>,
    next: u64,
}

type Shared = Arc<Mutex<Bucket>>;

/// A server with one bucket, `bucket`.
pub struct FaultyStorage {
    address: String,
    bucket: Shared,
    _runtime: tokio::runtime::Runtime,
}

impl FaultyStorage {
    pub fn start() -> FaultyStorage {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let bucket = Shared::default();
        let router = axum::Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&bucket));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        FaultyStorage {
            address,
            bucket,
            _runtime: runtime,
        }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Has calls on names with `of` in them fail, `times` of them behind the first `skip`.
    pub fn fail(&self, call: Call, of: &str, skip: u32, times: u32, fault: Fault) {
        lock(&self.bucket).rules.push(Rule {
            call,
            of: of.to_owned(),
            skip,
            times,
            fault,
        });
    }

    /// Returns how many calls there were on names with `of` in them.
    pub fn calls(&self, call: Call, of: &str) -> usize {
        let bucket = lock(&self.bucket);
        let calls = bucket.journal.iter();
        calls
            .filter(|(c, name)| *c == call && name.contains(of))
            .count()
    }

    /// Tells whether all faults have happened.
    pub fn is_spent(&self) -> bool {
        lock(&self.bucket).rules.iter().all(|rule| rule.times == 0)
    }
}

fn lock(bucket: &Shared) -> MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bucket {
    /// Notes a call, and says what happens to it.
    fn note(&mut self, call: Call, name: &str) -> Option<Fault> {
        self.journal.push((call, name.to_owned()));
        let rule = self
            .rules
            .iter_mut()
            .find(|rule| rule.call == call && name.contains(&rule.of) && rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    fn write(&mut self, name: String, bytes: Bytes, metadata: Value) -> Value {
        self.next += 1;
        let object = Object {
            bytes,
            generation: 1_700_000_000_000_000 + self.next,
            updated: chrono::Utc::now().to_rfc3339(),
            metadata,
        };
        let resource = resource(&name, &object);
        self.objects.insert(name, object);
        resource
    }
}

fn resource(name: &str, object: &Object) -> Value {
    let mut resource = json!({
        "kind": "storage#object",
        "name": name,
        "size": object.bytes.len().to_string(),
        "generation": object.generation.to_string(),
        "updated": object.updated,
    });
    if !object.metadata.is_null() {
        resource["metadata"] = object.metadata.clone();
    }
    resource
}

/// A request, taken apart.
struct Asked {
    method: Method,
    path: Vec<String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

async fn handle(State(bucket): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let host = parts
        .headers
        .get("host")
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let host = host.to_owned();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().split('/').skip(1).map(decoded).collect(),
        query: parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (decoded(k), decoded(&v.replace('+', " "))))
            .collect(),
        headers: parts.headers,
        body,
    };
    let Some((call, name)) = asked.call(&bucket) else {
        return StatusCode::NOT_IMPLEMENTED.into_response();
    };
    let fault = lock(&bucket).note(call, &name);
    match fault {
        None => asked.answer(&bucket, call, &name, &host),
        Some(Fault::Status(status, reason)) => said(status, reason),
        Some(Fault::CutBefore) => cut(StatusCode::OK, HeaderMap::new(), Bytes::new(), 100),
        Some(Fault::CutAfter) => {
            asked.answer(&bucket, call, &name, &host);
            cut(StatusCode::OK, HeaderMap::new(), Bytes::new(), 100)
        }
        Some(Fault::CutBody(length)) => {
            let (parts, body) = asked.answer(&bucket, call, &name, &host).into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            let whole = body.len();
            cut(
                parts.status,
                parts.headers,
                body.slice(..length.min(whole)),
                whole,
            )
        }
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            asked.answer(&bucket, call, &name, &host)
        }
        Some(Fault::Forget) => {
            lock(&bucket).sessions.clear();
            said(410, "forgotten")
        }
        Some(Fault::KeepOnly(length)) => {
            let kept = Asked {
                body: asked.body.slice(..length),
                ..asked
            };
            kept.answer(&bucket, call, &name, &host)
        }
    }
}

impl Asked {
    fn call(&self, bucket: &Shared) -> Option<(Call, String)> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let name = |name: &str| name.to_owned();
        let kind = self.query.get("uploadType").map(String::as_str);
        Some(match (self.method.as_str(), &path[..]) {
            ("GET", ["storage", "v1", "b", _, "o"]) => (
                Call::List,
                self.query.get("prefix").cloned().unwrap_or_default(),
            ),
            ("GET", ["storage", "v1", "b", _, "o", of]) => match self.query.contains_key("alt") {
                true => (Call::Read, name(of)),
                false => (Call::Stat, name(of)),
            },
            ("DELETE", ["storage", "v1", "b", _, "o", of]) => (Call::Delete, name(of)),
            (
                "POST",
                [
                    "storage",
                    "v1",
                    "b",
                    _,
                    "o",
                    _,
                    "rewriteTo",
                    "b",
                    _,
                    "o",
                    to,
                ],
            ) => (Call::Copy, name(to)),
            ("POST", ["upload", "storage", "v1", "b", _, "o"]) if kind == Some("multipart") => {
                (Call::Put, self.multipart()?.0)
            }
            ("POST", ["upload", "storage", "v1", "b", _, "o"]) => {
                (Call::BeginUpload, self.query.get("name")?.clone())
            }
            ("PUT", ["upload", "session", id]) => {
                let id: u64 = id.parse().ok()?;
                let of = lock(bucket)
                    .sessions
                    .get(&id)
                    .map(|session| session.name.clone());
                let is_status = self.header("content-range").starts_with("bytes */");
                let call = if is_status {
                    Call::UploadStatus
                } else {
                    Call::UploadPart
                };
                (call, of.unwrap_or_default())
            }
            _ => return None,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }

    /// Takes the body of an upload in one request apart.
    fn multipart(&self) -> Option<(String, Value, Bytes)> {
        let boundary = format!(
            "\r\n--{}",
            self.header("content-type").split_once("boundary=")?.1
        );
        let find = |text: &str, from: usize| {
            let found = self.body[from..]
                .windows(text.len())
                .position(|w| w == text.as_bytes());
            found.map(|at| from + at)
        };
        let json = find("\r\n\r\n", 0)? + 4;
        let json_end = find(&boundary, json)?;
        let bytes = find("\r\n\r\n", json_end + 4)? + 4;
        let end = self.body.len() - boundary.len() - 4;
        assert!(self.body[end..].starts_with(boundary.as_bytes()));
        let told: Value = serde_json::from_slice(&self.body[json..json_end]).ok()?;
        let name = told["name"].as_str()?.to_owned();
        Some((name, told["metadata"].clone(), self.body.slice(bytes..end)))
    }

    fn answer(&self, bucket: &Shared, call: Call, name: &str, host: &str) -> Response {
        let mut bucket = lock(bucket);
        let must_be_absent = self
            .query
            .get("ifGenerationMatch")
            .is_some_and(|g| g == "0");
        if must_be_absent && bucket.objects.contains_key(name) {
            return said(412, "conditionNotMet");
        }
        match call {
            Call::List => {
                let after = self.query.get("pageToken").cloned().unwrap_or_default();
                let mut found = bucket
                    .objects
                    .iter()
                    .filter(|(of, _)| of.starts_with(name) && **of > after);
                let page: Vec<_> = found.by_ref().take(PAGE).collect();
                let mut answer =
                    json!({"items": page.iter().map(|(n, o)| resource(n, o)).collect::<Vec<_>>()});
                if let (Some(_), Some((last, _))) = (found.next(), page.last()) {
                    answer["nextPageToken"] = json!(last);
                }
                axum::Json(answer).into_response()
            }
            Call::Stat => match bucket.objects.get(name) {
                Some(object) => axum::Json(resource(name, object)).into_response(),
                None => said(404, "notFound"),
            },
            Call::Read => self.read(bucket.objects.get(name)),
            Call::Put => match self.multipart() {
                Some((name, metadata, bytes)) => {
                    axum::Json(bucket.write(name, bytes, metadata)).into_response()
                }
                None => said(400, "badRequest"),
            },
            Call::BeginUpload => {
                bucket.next += 1;
                let id = bucket.next;
                let told: Value = serde_json::from_slice(&self.body).unwrap_or_default();
                let session = Session {
                    name: name.to_owned(),
                    metadata: told["metadata"].clone(),
                    bytes: Vec::new(),
                };
                bucket.sessions.insert(id, session);
                let location = format!("http://{host}/upload/session/{id}");
                (StatusCode::OK, [("location", location)]).into_response()
            }
            Call::UploadPart | Call::UploadStatus => self.upload(&mut bucket),
            Call::Copy => {
                let Some(from) = bucket.objects.get(&self.path[5]).cloned() else {
                    return said(404, "notFound");
                };
                if from.bytes.len() > COPIED_AT_ONCE && !self.query.contains_key("rewriteToken") {
                    return axum::Json(json!({"done": false, "rewriteToken": "more"}))
                        .into_response();
                }
                let resource = bucket.write(name.to_owned(), from.bytes, from.metadata);
                axum::Json(json!({"done": true, "resource": resource})).into_response()
            }
            Call::Delete => match bucket.objects.remove(name) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => said(404, "notFound"),
            },
        }
    }

    fn read(&self, object: Option<&Object>) -> Response {
        let wanted = self.query.get("generation");
        let object = object.filter(|o| wanted.is_none_or(|g| *g == o.generation.to_string()));
        let Some(object) = object else {
            return said(404, "notFound");
        };
        let length = object.bytes.len();
        let generation = object.generation.to_string();
        let range = self
            .header("range")
            .strip_prefix("bytes=")
            .and_then(|r| r.split_once('-'));
        let Some((start, end)) = range else {
            return ([("x-goog-generation", generation)], object.bytes.clone()).into_response();
        };
        let start: usize = start.parse().unwrap();
        let end = end
            .parse()
            .map_or(length, |last: usize| length.min(last + 1));
        if start >= length {
            return said(416, "requestedRangeNotSatisfiable");
        }
        let range = format!("bytes {start}-{}/{length}", end - 1);
        let headers = [("x-goog-generation", generation), ("content-range", range)];
        (
            StatusCode::PARTIAL_CONTENT,
            headers,
            object.bytes.slice(start..end),
        )
            .into_response()
    }

    fn upload(&self, bucket: &mut Bucket) -> Response {
        let id = self.path[2].parse().unwrap_or_default();
        let Some(mut session) = bucket.sessions.remove(&id) else {
            return said(404, "notFound");
        };
        let (range, total) = self.header("content-range")["bytes ".len()..]
            .split_once('/')
            .unwrap();
        let total: usize = total.parse().unwrap();
        if let Some((start, _)) = range.split_once('-') {
            assert_eq!(
                start.parse(),
                Ok(session.bytes.len()),
                "the part begins elsewhere"
            );
            session.bytes.extend_from_slice(&self.body);
        }
        let there = session.bytes.len();
        if there == total {
            let Session {
                name,
                metadata,
                bytes,
            } = session;
            return axum::Json(bucket.write(name, bytes.into(), metadata)).into_response();
        }
        bucket.sessions.insert(id, session);
        match there {
            0 => StatusCode::PERMANENT_REDIRECT.into_response(),
            there => {
                let range = [("range", format!("bytes=0-{}", there - 1))];
                (StatusCode::PERMANENT_REDIRECT, range).into_response()
            }
        }
    }
}
