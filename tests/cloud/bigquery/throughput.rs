//! What the sink costs beside a loop by hand: one stream, rows of some 120 bytes, the same server, in turn.
//!
//! `cargo test … --test cloud -- --ignored throughput --nocapture` prints it; time is never asserted.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1 as proto;
use pipeline_core::prelude::*;
use pipeline_gcp::bigquery::{Column, ColumnType, Row, TableSchema, TableSink};
use proto::big_query_write_client::BigQueryWriteClient;

use super::table_place::Place;
use crate::faults::bigquery::{BigQueryServer, Call};

const ROWS: usize = 200_000;
const BATCH: usize = 10_000;

fn schema() -> TableSchema {
    TableSchema::new([
        Column::required("n", ColumnType::Int64),
        Column::required("share", ColumnType::Float64),
        Column::required("text", ColumnType::String),
    ])
}

type Record = (i64, f64, String);

fn records() -> Vec<Record> {
    let text = |n: usize| format!("{n:0>100}");
    let record = |n: usize| (i64::try_from(n).expect("small"), n as f64 / 3.0, text(n));
    (0..ROWS).map(record).collect()
}

/// The sink, as a run without snapshots drives it.
fn sink(place: &Place, records: &[Record]) {
    let row = |(n, share, text): &Record| {
        Row::new(vec![(*n).into(), (*share).into(), text.as_str().into()])
    };
    let service = Arc::clone(&place.service);
    let sink = TableSink::append(service, "t", schema(), row);
    let mut writer = sink.open(0).expect("a writer");
    for (sequence, records) in records.chunks(BATCH).enumerate() {
        let batch = WriteBatch::new(records, sequence as u64);
        assert!(place.run(writer.write(&batch)).expect("written").is_empty());
    }
    place.run(writer.close()).expect("closed");
}

/// The loop by hand: typed builders, a stream, offsets, eight requests on the way.
async fn by_hand(address: String, records: &[Record]) {
    let channel = tonic::transport::Endpoint::from_shared(address).expect("an address");
    let channel = channel.connect().await.expect("a connection");
    let mut client = BigQueryWriteClient::new(channel);
    let parent = "projects/p/datasets/d/tables/t".to_owned();
    let stream = proto::WriteStream {
        r#type: 1,
        ..Default::default()
    };
    let request = proto::CreateWriteStreamRequest {
        parent,
        write_stream: Some(stream),
    };
    let stream = client
        .create_write_stream(request)
        .await
        .expect("a stream")
        .into_inner()
        .name;
    let arrow = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("share", DataType::Float64, false),
        Field::new("text", DataType::Utf8, false),
    ]));
    let mut header = Vec::new();
    StreamWriter::try_new(&mut header, &arrow).expect("Arrow");
    let (requests, receiver) = tokio::sync::mpsc::channel(8);
    let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let send = async {
        let mut offset = 0;
        for records in records.chunks(BATCH) {
            let (mut n, mut share, mut text) = (
                Int64Builder::new(),
                Float64Builder::new(),
                StringBuilder::new(),
            );
            for record in records {
                n.append_value(record.0);
                share.append_value(record.1);
                text.append_value(&record.2);
            }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(n.finish()),
                Arc::new(share.finish()),
                Arc::new(text.finish()),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&arrow), columns).expect("a batch");
            let mut bytes = Vec::new();
            let mut writer = StreamWriter::try_new(&mut bytes, &arrow).expect("Arrow");
            writer.write(&batch).expect("Arrow");
            drop(writer);
            let rows = proto::append_rows_request::ArrowData {
                writer_schema: Some(proto::ArrowSchema {
                    serialized_schema: header.clone(),
                }),
                rows: Some(proto::ArrowRecordBatch {
                    serialized_record_batch: bytes[header.len()..].to_vec(),
                    ..Default::default()
                }),
            };
            let request = proto::AppendRowsRequest {
                write_stream: stream.clone(),
                offset: Some(offset),
                rows: Some(proto::append_rows_request::Rows::ArrowRows(rows)),
                ..Default::default()
            };
            offset += records.len() as i64;
            requests.send(request).await.expect("a connection");
        }
        drop(requests);
    };
    let receive = async {
        let answers = client.append_rows(receiver).await.expect("a stream");
        let mut answers = answers.into_inner();
        while let Some(answer) = answers.message().await.expect("an answer") {
            assert!(answer.row_errors.is_empty());
        }
    };
    tokio::join!(send, receive);
}

#[test]
#[ignore = "measures; run it by itself"]
fn throughput_beside_a_loop_by_hand() {
    let records = records();
    let mut ratios = Vec::new();
    for round in 0..5 {
        let server = BigQueryServer::start();
        server.discard();
        let place = Place::new(Arc::new(server.client()), false, "");
        place
            .run(place.service.create_table_if_needed("t", &schema()))
            .expect("a table");
        let since = Instant::now();
        place.run(by_hand(server.address(), &records));
        let hand = since.elapsed();
        let since = Instant::now();
        sink(&place, &records);
        let ours = since.elapsed();
        assert_eq!(server.discarded(), 2 * ROWS);
        let rate = |time: std::time::Duration| ROWS as f64 / time.as_secs_f64() / 1e3;
        let ratio = hand.as_secs_f64() / ours.as_secs_f64();
        println!(
            "round {round}: by hand {:.0} k rows/s, the sink {:.0} k rows/s: {:.0} % ({} requests)",
            rate(hand),
            rate(ours),
            ratio * 100.0,
            server.calls(Call::Append)
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median: {:.0} %", ratios[2] * 100.0);
}
