//! Whole pipelines, and the domains they are made of.

mod chat;
mod expected_conversations;
