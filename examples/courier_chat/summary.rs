//! The messages of an order, combined.

use pipeline_core::prelude::*;

use super::conversation::Conversation;
use super::event::ChatMessage;
use super::record::Identified;

/// Combines messages of one order into a [`Conversation`].
#[derive(Clone, Copy, Debug)]
pub struct Summarise;

impl CombineFn for Summarise {
    type Input = Identified<ChatMessage>;
    type Accumulator = Conversation;
    type Output = Conversation;

    fn create_accumulator(&self) -> Conversation {
        Conversation::default()
    }

    fn add_input(&self, conversation: &mut Conversation, message: Identified<ChatMessage>) {
        conversation.add(&message.value, &message.id);
    }

    fn merge_accumulators(&self, conversation: &mut Conversation, other: Conversation) {
        conversation.merge(other);
    }

    fn extract_output(&self, conversation: Conversation) -> Conversation {
        conversation
    }
}
