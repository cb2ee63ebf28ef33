//! temp
use pipeline_core::prelude::*;
/// t
pub struct DeadLetterFile(std::path::PathBuf);
impl DeadLetterFile {
    /// n
    pub fn new(p: std::path::PathBuf) -> Self {
        Self(p)
    }
}
impl Sink for DeadLetterFile {
    type Item = BadRecord;
    type Writer = W;
    fn open(&self, _: usize) -> Result<W, Error> {
        let _ = &self.0;
        Ok(W)
    }
}
/// w
pub struct W;
impl Writer<BadRecord> for W {
    async fn write(&mut self, _b: &WriteBatch<'_, BadRecord>) -> Result<Vec<Rejected>, Error> {
        Ok(vec![])
    }
}
