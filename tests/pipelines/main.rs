//! Whole pipelines, and the domains they are made of.

mod chat;
mod courier_chat;
mod expected_conversations;
