//! Conversations between couriers and customers, from a topic to a table.

fn main() {}
