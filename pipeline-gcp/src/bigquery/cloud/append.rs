//! Rows on their way into a stream: in pieces, many on the way at once, in order.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use google_cloud_bigquery::error::AppendError;

use super::arrow::Encoder;
use super::client::{CloudBigQuery, Patience, failed};
use super::failure::{Failure, Kind};
use super::name::TableName;
use super::streams::{Writer, broken, of_append};
use crate::bigquery::error::BigQueryError;
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::RowError;
use crate::bigquery::stream::{AppendStream, StreamKind};
use crate::cloud::within;

/// What a request holds, as far as that can be told before it is encoded; BigQuery takes 10 MB.
const PIECE_BYTES: usize = 512 << 10;
/// The greatest row that goes into a request by itself.
const ROW_BYTES: usize = 9 << 20;
/// The number of requests on the way at once.
const ON_THE_WAY: usize = 16;

pub(super) struct Appender {
    cloud: CloudBigQuery,
    table: TableName,
    kind: StreamKind,
    schema: TableSchema,
    encoder: Encoder,
    stream: String,
    /// None after its connection has failed.
    writer: Option<Writer>,
    offset: u64,
}

/// Rows of one request.
struct Piece {
    /// Their places in the call.
    rows: Vec<usize>,
    /// It was sent before, and what became of it is not known.
    uncertain: bool,
}

/// What the answer to a request means.
enum Answer {
    Appended,
    Refused(BTreeMap<usize, String>),
    Failed(Failure),
}

impl Appender {
    pub async fn open(
        cloud: &CloudBigQuery,
        table: TableName,
        kind: StreamKind,
        schema: &TableSchema,
    ) -> Result<Appender, BigQueryError> {
        let call = "CreateWriteStream";
        let encoder = Encoder::new(schema).map_err(|reason| broken(call, reason))?;
        let connected = cloud.connect(&table, kind, None, &encoder.header).await;
        let (stream, writer) =
            connected.map_err(|failure| failed(call, &table.to_string(), failure))?;
        Ok(Appender {
            cloud: cloud.clone(),
            table,
            kind,
            schema: schema.clone(),
            encoder,
            stream,
            writer: Some(writer),
            offset: 0,
        })
    }

    /// Connects to the stream anew where the connection has failed.
    async fn connected(&mut self) -> Result<(), BigQueryError> {
        if self.writer.is_none() {
            let (cloud, table) = (&self.cloud, &self.table);
            let stream = Some(self.stream.as_str());
            let connected = cloud.connect(table, self.kind, stream, &self.encoder.header);
            let (_, writer) = connected
                .await
                .map_err(|failure| failed("AppendRows", &table.to_string(), failure))?;
            self.writer = Some(writer);
        }
        Ok(())
    }

    /// Sends pieces and hears what became of them, until one was not appended. Returns that one, with the answer.
    async fn send(
        &mut self,
        pieces: &mut VecDeque<Piece>,
        rows: &[&Row],
        patience: &mut Patience,
    ) -> Result<Option<(Piece, Answer)>, BigQueryError> {
        let mut on_the_way = VecDeque::new();
        let mut sent = 0;
        let deadline = self.cloud.attempt_deadline();
        let most = match self.kind {
            // Without offsets a request is not refused because the one before it was.
            StreamKind::Default => 1,
            _ => ON_THE_WAY,
        };
        let mut next_offset = self.offset;
        loop {
            while on_the_way.len() < most
                && let Some(piece) = pieces.get(sent)
                && let Some(writer) = &self.writer
            {
                let encoded = self
                    .encoder
                    .encode(piece.rows.iter().map(|index| rows[*index]))
                    .map_err(|reason| broken("AppendRows", reason))?;
                on_the_way.push_back(writer.send(encoded, next_offset));
                next_offset += piece.rows.len() as u64;
                sent += 1;
            }
            let Some(answer) = on_the_way.pop_front() else {
                return Ok(None);
            };
            let answer = match within(deadline, "AppendRows", answer).await {
                Ok(answer) => read(answer.map(|_| ())),
                Err(slow) => Answer::Failed(Failure::new(Kind::Transient, slow)),
            };
            let Some(mut piece) = pieces.pop_front() else {
                return Ok(None);
            };
            sent -= 1;
            let there_already = matches!(&answer, Answer::Failed(failure)
                if failure.kind == Kind::AlreadyExists && piece.uncertain);
            if there_already || matches!(answer, Answer::Appended) {
                self.offset += piece.rows.len() as u64;
                patience.renew();
                continue;
            }
            if matches!(&answer, Answer::Failed(failure) if failure.kind == Kind::Transient) {
                // What follows it on this connection may have been taken, too.
                let followers = pieces.iter_mut().take(sent);
                followers.for_each(|piece| piece.uncertain = true);
                piece.uncertain = true;
                self.writer = None;
            } else {
                // What follows it has come too early and was refused; the answers are of no interest, but the
                // connection has to have given them before it is used again.
                for answer in on_the_way {
                    if within(deadline, "AppendRows", answer).await.is_err() {
                        self.writer = None;
                        break;
                    }
                }
            }
            return Ok(Some((piece, answer)));
        }
    }

    /// Says whether the table is no longer what it was when the run began.
    async fn drift(&self) -> Result<Option<String>, BigQueryError> {
        Ok(match self.cloud.find_table(&self.table).await? {
            None => Some("the table is not there any more".to_owned()),
            Some(there) => self.schema.fit(&there).reason(),
        })
    }
}

#[async_trait]
impl AppendStream for Appender {
    fn name(&self) -> &str {
        &self.stream
    }

    fn appended(&self) -> u64 {
        self.offset
    }

    async fn append(&mut self, rows: &[&Row]) -> Result<Vec<RowError>, BigQueryError> {
        let mut errors = BTreeMap::new();
        let mut pieces = pieces_of(rows, &mut errors);
        let mut patience = self.cloud.patience();
        while !pieces.is_empty() {
            self.connected().await?;
            let sent = self.send(&mut pieces, rows, &mut patience).await?;
            let Some((piece, answer)) = sent else {
                continue;
            };
            match answer {
                Answer::Appended => {}
                // The others of the request were not appended either, and come again.
                Answer::Refused(refused) => {
                    let mut others = Vec::with_capacity(piece.rows.len());
                    for (at, index) in piece.rows.into_iter().enumerate() {
                        match refused.get(&at) {
                            Some(reason) => {
                                errors.insert(index, reason.clone());
                            }
                            None => others.push(index),
                        }
                    }
                    again(&mut pieces, others);
                }
                Answer::Failed(failure) => match failure.kind {
                    Kind::Transient => {
                        if !patience.wait().await {
                            let reason = format!("{} ({})", failure.reason, patience.said());
                            let failure = Failure::new(Kind::Transient, reason);
                            return Err(failed("AppendRows", &self.table.to_string(), failure));
                        }
                        pieces.push_front(piece);
                    }
                    // A request that is refused as a whole: because the table is another one by now, or because of
                    // one of its rows.
                    Kind::Invalid if !is_about_the_stream(&failure.reason) => {
                        if let Some(drift) = self.drift().await? {
                            let reason = format!("{drift}; the service says: {}", failure.reason);
                            let left = pieces.drain(..).chain([piece]);
                            let left = left.flat_map(|piece| piece.rows);
                            errors.extend(left.map(|index| (index, reason.clone())));
                        } else if let [index] = piece.rows[..] {
                            errors.insert(index, failure.reason);
                        } else {
                            let (first, second) = piece.rows.split_at(piece.rows.len() / 2);
                            again(&mut pieces, second.to_vec());
                            again(&mut pieces, first.to_vec());
                        }
                    }
                    Kind::OutOfRange | Kind::AlreadyExists => {
                        let reason = format!(
                            "the stream {} is not where this run left it, at row {}: {}; somebody else writes to it, \
                             or rows were lost",
                            self.stream, self.offset, failure.reason
                        );
                        return Err(broken("AppendRows", reason));
                    }
                    _ => return Err(failed("AppendRows", &self.table.to_string(), failure)),
                },
            }
        }
        let errors = errors.into_iter();
        Ok(errors
            .map(|(index, reason)| RowError { index, reason })
            .collect())
    }
}

fn again(pieces: &mut VecDeque<Piece>, rows: Vec<usize>) {
    if !rows.is_empty() {
        pieces.push_front(Piece {
            rows,
            uncertain: false,
        });
    }
}

/// Tells whether a request was refused because its stream has ended.
fn is_about_the_stream(reason: &str) -> bool {
    let words = reason.to_ascii_lowercase().replace('_', " ");
    words.contains("finalized") || words.contains("already committed")
}

fn pieces_of(rows: &[&Row], errors: &mut BTreeMap<usize, String>) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut piece = Vec::new();
    let mut bytes = 0;
    for (index, row) in rows.iter().enumerate() {
        let size = row.size();
        if size > ROW_BYTES {
            let reason = format!("the row has some {size} bytes; a request takes 10 MB");
            errors.insert(index, reason);
            continue;
        }
        if bytes + size > PIECE_BYTES && !piece.is_empty() {
            let rows = std::mem::take(&mut piece);
            pieces.push_back(Piece {
                rows,
                uncertain: false,
            });
            bytes = 0;
        }
        bytes += size;
        piece.push(index);
    }
    if !piece.is_empty() {
        pieces.push_back(Piece {
            rows: piece,
            uncertain: false,
        });
    }
    pieces
}

fn read(answer: Result<(), AppendError>) -> Answer {
    match answer {
        Ok(()) => Answer::Appended,
        Err(AppendError::RowErrors {
            row_errors, status, ..
        }) => {
            let refused: BTreeMap<usize, String> = row_errors
                .into_iter()
                .filter_map(|error| Some((usize::try_from(error.index).ok()?, error.message)))
                .collect();
            match refused.is_empty() {
                true => Answer::Failed(Failure::new(Kind::Permanent, status.message)),
                false => Answer::Refused(refused),
            }
        }
        Err(error) => Answer::Failed(of_append(&error)),
    }
}
