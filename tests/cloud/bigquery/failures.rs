//! What goes wrong on Google's side, and what becomes of the rows.
