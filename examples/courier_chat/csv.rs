//! Writes the final table as a CSV file.

use std::io::Write;

use super::conversation::ConversationRow;

/// The columns of the file, in order: those of the table but `version`.
pub const COLUMNS: [&str; 11] = [
    "order_id",
    "city_code",
    "first_courier_message",
    "first_customer_message",
    "num_messages_courier",
    "num_messages_customer",
    "first_message_by",
    "conversation_started_at",
    "first_responsetime_delay_seconds",
    "last_message_time",
    "last_message_order_stage",
];

/// Writes a head line and one line a row, ordered by `order_id` as a number.
///
/// Lines end in LF; a field is quoted only where it must be (RFC 4180); null is the empty field; a time is RFC 3339 in
/// UTC with a fraction only if it is not zero. All rows are held in memory to be ordered; rows of one order keep the
/// order in which they came. Flushes `writer`, but does not sync it.
///
/// # Errors
/// The error of `writer`, for example a full disk; part of the table may then have been written.
pub fn write_rows<W: Write>(
    writer: W,
    rows: impl IntoIterator<Item = ConversationRow>,
) -> std::io::Result<()> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|row| row.order_id);
    let mut csv = ::csv::Writer::from_writer(writer);
    csv.write_record(COLUMNS).map_err(std::io::Error::from)?;
    for row in rows {
        csv.write_record(fields(row))
            .map_err(std::io::Error::from)?;
    }
    csv.flush()
}

fn fields(row: ConversationRow) -> [String; COLUMNS.len()] {
    [
        row.order_id.to_string(),
        row.city_code,
        or_empty(row.first_courier_message),
        or_empty(row.first_customer_message),
        row.num_messages_courier.to_string(),
        row.num_messages_customer.to_string(),
        row.first_message_by.as_str().to_owned(),
        row.conversation_started_at.to_string(),
        or_empty(row.first_responsetime_delay_seconds),
        row.last_message_time.to_string(),
        row.last_message_order_stage,
    ]
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::courier_chat::{EventTime, Sender};

    fn row(order_id: i64) -> ConversationRow {
        let time = EventTime::parse("2024-02-01T10:00:00.500Z").unwrap();
        ConversationRow {
            order_id,
            city_code: "A,\"B\"".into(),
            first_courier_message: Some(time),
            first_customer_message: None,
            num_messages_courier: 1,
            num_messages_customer: 0,
            first_message_by: Sender::Courier,
            conversation_started_at: time,
            first_responsetime_delay_seconds: None,
            last_message_time: time,
            last_message_order_stage: "PENDING".into(),
            version: 2,
        }
    }

    #[test]
    fn orders_by_number_and_quotes_where_needed() {
        let mut file = Vec::new();
        write_rows(&mut file, [row(100), row(20), row(3)]).unwrap();
        let text = String::from_utf8(file).unwrap();
        let rest = "\"A,\"\"B\"\"\",2024-02-01T10:00:00.500Z,,1,0,Courier,2024-02-01T10:00:00.500Z,,2024-02-01T10:00:00.500Z,PENDING";
        assert_eq!(
            text,
            format!("{}\n3,{rest}\n20,{rest}\n100,{rest}\n", COLUMNS.join(","))
        );
    }

    #[test]
    fn hands_on_the_error_of_the_writer() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(
            write_rows(Full, [row(1)]).unwrap_err().kind(),
            std::io::ErrorKind::StorageFull
        );
    }
}
