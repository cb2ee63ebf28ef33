//! The Storage Write API.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Request;
use axum::response::Response;
use axum::routing::post;
use google::cloud::bigquery::storage::v1 as proto;
use googleapis_tonic_google_cloud_bigquery_storage_v1::google;
use prost::Message;
use proto::append_rows_request::Rows;
use proto::append_rows_response::{AppendResult, Response as Outcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::script::{Action, Call};
use super::wire::{Messages, many, one};
use super::world::{COMMITTED, Refusal, Stream, table_key};
use super::{Kept, arrow, lock};

/// BigQuery's limit of a request.
const REQUEST_BYTES: usize = 10 << 20;

pub(super) fn routes(kept: Arc<Kept>) -> Router {
    let path = "/google.cloud.bigquery.storage.v1.BigQueryWrite/{call}";
    Router::new().route(path, post(call)).with_state(kept)
}

async fn call(
    State(kept): State<Arc<Kept>>,
    Path(call): Path<String>,
    request: Request<Body>,
) -> Response {
    let messages = Messages::new(request.into_body());
    match call.as_str() {
        "CreateWriteStream" => unary(&kept, Call::CreateStream, messages, create).await,
        "GetWriteStream" => unary(&kept, Call::GetStream, messages, get).await,
        "FlushRows" => unary(&kept, Call::Flush, messages, flush).await,
        "FinalizeWriteStream" => unary(&kept, Call::Finalize, messages, finalize).await,
        "BatchCommitWriteStreams" => unary(&kept, Call::Commit, messages, commit).await,
        "AppendRows" => append(kept, messages),
        other => one::<()>(Err(Status::unimplemented(other))),
    }
}

/// Makes a call, and ends it as the script says.
async fn unary<Q: Message + Default, A: Message + 'static>(
    kept: &Kept,
    call: Call,
    mut messages: Messages,
    effect: fn(&Kept, Q) -> Result<A, Status>,
) -> Response {
    let Some(request) = messages.next().await else {
        return one::<A>(Err(Status::internal("a request without a message")));
    };
    let action = lock(&kept.script).next(call);
    match action {
        Some(Action::Fail(code) | Action::Answer(code)) => {
            return one::<A>(Err(Status::new(code, "as the script says")));
        }
        Some(Action::Http(..)) => return one::<A>(Err(Status::internal("no HTTP here"))),
        Some(Action::Silence) => std::future::pending().await,
        Some(Action::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Action::LoseAnswer) | None => {}
    }
    let result = effect(kept, request);
    match action {
        Some(Action::LoseAnswer) => one::<A>(Err(Status::unavailable("the answer was lost"))),
        _ => one(result),
    }
}

fn create(
    kept: &Kept,
    request: proto::CreateWriteStreamRequest,
) -> Result<proto::WriteStream, Status> {
    let mut world = lock(&kept.world);
    let table = table_key(&request.parent);
    if !world.tables.contains_key(&table) {
        return Err(Status::not_found(format!("Table {table} not found")));
    }
    let number = world.number();
    let name = format!("{}/streams/s{number}", request.parent);
    let kind = request.write_stream.unwrap_or_default().r#type;
    let stream = Stream {
        table,
        kind,
        rows: Vec::new(),
        visible: 0,
        finalized: false,
        committed: false,
    };
    world.streams.insert(name.clone(), stream);
    Ok(proto::WriteStream {
        name,
        r#type: kind,
        ..Default::default()
    })
}

fn get(kept: &Kept, request: proto::GetWriteStreamRequest) -> Result<proto::WriteStream, Status> {
    let (world, name) = (lock(&kept.world), request.name);
    let kind = match name.ends_with("/_default") {
        true => Some(COMMITTED),
        false => world.streams.get(&name).map(|stream| stream.kind),
    };
    let kind = kind.ok_or_else(|| Status::not_found(name.clone()))?;
    Ok(proto::WriteStream {
        name,
        r#type: kind,
        location: "us".into(),
        ..Default::default()
    })
}

fn flush(
    kept: &Kept,
    request: proto::FlushRowsRequest,
) -> Result<proto::FlushRowsResponse, Status> {
    let offset = request.offset.unwrap_or_default();
    let offset = lock(&kept.world).flush(&request.write_stream, offset)?;
    Ok(proto::FlushRowsResponse { offset })
}

fn finalize(
    kept: &Kept,
    request: proto::FinalizeWriteStreamRequest,
) -> Result<proto::FinalizeWriteStreamResponse, Status> {
    let row_count = lock(&kept.world).finalize(&request.name)?;
    Ok(proto::FinalizeWriteStreamResponse { row_count })
}

fn commit(
    kept: &Kept,
    request: proto::BatchCommitWriteStreamsRequest,
) -> Result<proto::BatchCommitWriteStreamsResponse, Status> {
    let mut world = lock(&kept.world);
    let mut stream_errors = Vec::new();
    for name in &request.write_streams {
        if let Err((code, error_message)) = world.commit(name) {
            stream_errors.push(proto::StorageError {
                code,
                entity: name.clone(),
                error_message,
            });
        }
    }
    let commit_time = stream_errors
        .is_empty()
        .then(prost_types::Timestamp::default);
    Ok(proto::BatchCommitWriteStreamsResponse {
        commit_time,
        stream_errors,
    })
}

fn append(kept: Arc<Kept>, mut messages: Messages) -> Response {
    let (answers, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        // What the first request says holds for all.
        let (mut stream, mut header) = (String::new(), Vec::new());
        while let Some(request) = messages.next::<proto::AppendRowsRequest>().await {
            let action = lock(&kept.script).next(Call::Append);
            note(&request, &mut stream, &mut header);
            let answer = match action {
                Some(Action::Fail(code)) => Err(Status::new(code, "as the script says")),
                Some(Action::Silence) => std::future::pending().await,
                Some(Action::Answer(code)) => Ok(failed(Status::new(code, "as the script says"))),
                other => {
                    if let Some(Action::Delay(delay)) = other {
                        tokio::time::sleep(delay).await;
                    }
                    let answer = take(&kept, request, &stream, &header);
                    match other {
                        Some(Action::LoseAnswer) => Err(Status::unavailable("the answer was lost")),
                        _ => Ok(answer),
                    }
                }
            };
            let ends = answer.is_err();
            if answers.send(answer).await.is_err() || ends {
                return;
            }
        }
    });
    many(ReceiverStream::new(receiver))
}

/// Takes note of what a request says for all that follow it.
fn note(request: &proto::AppendRowsRequest, stream: &mut String, header: &mut Vec<u8>) {
    if !request.write_stream.is_empty() {
        stream.clone_from(&request.write_stream);
    }
    if let Some(Rows::ArrowRows(data)) = &request.rows
        && let Some(schema) = &data.writer_schema
    {
        header.clone_from(&schema.serialized_schema);
    }
}

fn take(
    kept: &Kept,
    request: proto::AppendRowsRequest,
    stream: &str,
    header: &[u8],
) -> proto::AppendRowsResponse {
    if request.encoded_len() > REQUEST_BYTES {
        return failed(Status::invalid_argument("AppendRows request too large"));
    }
    let Some(Rows::ArrowRows(data)) = request.rows else {
        return failed(Status::invalid_argument("no Arrow"));
    };
    let batch = data.rows.unwrap_or_default().serialized_record_batch;
    if let Some(discarded) = &mut lock(&kept.world).discarded {
        *discarded += arrow::count(header, &batch);
        let offset = request.offset;
        return proto::AppendRowsResponse {
            response: Some(Outcome::AppendResult(AppendResult { offset })),
            ..Default::default()
        };
    }
    let (columns, rows) = arrow::rows(header, &batch);
    let appended = lock(&kept.world).append(stream, request.offset, &columns, rows);
    match appended {
        Ok(offset) => proto::AppendRowsResponse {
            response: Some(Outcome::AppendResult(AppendResult { offset })),
            ..Default::default()
        },
        Err(Refusal::Status(status)) => failed(status),
        Err(Refusal::Rows(rows)) => {
            let mut answer = failed(Status::new(
                Code::InvalidArgument,
                "Errors found while processing rows. Please refer to the row_errors field for details.",
            ));
            let row = |(index, message)| proto::RowError {
                index: index as i64,
                code: 1,
                message,
            };
            answer.row_errors = rows.into_iter().map(row).collect();
            answer
        }
    }
}

fn failed(status: Status) -> proto::AppendRowsResponse {
    proto::AppendRowsResponse {
        response: Some(Outcome::Error(google::rpc::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        })),
        ..Default::default()
    }
}
