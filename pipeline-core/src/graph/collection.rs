//! Collections: the edges of the graph.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use super::operator::{AnyPort, Port, Receiver};
use crate::batch::{Batch, Stamps};
use crate::coder::{self, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Counter;
use crate::window::WindowingStrategy;

/// Numbers a collection of a graph.
pub(crate) type CollectionId = usize;

/// A collection: what is known of it when the pipeline is built.
pub(crate) struct Collection {
    /// Path of its producer, with the output's name where there are several.
    pub(crate) path: String,
    pub(crate) types: Arc<dyn TypeOps>,
    pub(crate) windowing: WindowingStrategy,
    pub(crate) bounded: bool,
    /// Why the pipeline is refused if nothing consumes the collection.
    pub(crate) must_be_consumed: Option<String>,
}

/// What can be done with a collection's elements without naming their type.
pub(crate) trait TypeOps: Send + Sync {
    /// Names the type.
    fn element(&self) -> TypeId;
    /// Joins the ports of all consumers into one; `passed` counts the elements once.
    fn join(&self, ports: Vec<AnyPort>, passed: Counter) -> Result<AnyPort>;
    /// Puts an encoder and a decoder in front of a port; `path` names the edge in errors.
    fn encoded(&self, port: AnyPort, path: &str) -> Result<AnyPort>;
}

/// [`TypeOps`] of `T`.
pub(crate) struct TypeOpsOf<T>(PhantomData<fn() -> T>);

impl<T> TypeOpsOf<T> {
    pub(crate) const fn new() -> Self {
        TypeOpsOf(PhantomData)
    }
}

impl<T: Element> TypeOps for TypeOpsOf<T> {
    fn element(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn join(&self, ports: Vec<AnyPort>, passed: Counter) -> Result<AnyPort> {
        let mut ports = ports
            .into_iter()
            .map(AnyPort::typed::<T>)
            .collect::<Result<Vec<_>>>()?;
        let port = match (ports.pop(), ports.is_empty()) {
            (None, _) => Port::new(Discard),
            (Some(only), true) => only,
            (Some(last), false) => Port::new(Tee {
                clones: ports,
                last,
                spare: Batch::default(),
            }),
        };
        Ok(port.counting(passed).erase())
    }

    fn encoded(&self, port: AnyPort, path: &str) -> Result<AnyPort> {
        encoded_edge::<T>(port, path, |_, _| Ok(()))
    }
}

/// Puts an encoder and a decoder in front of a port; `check` compares each element with what it
/// has become.
pub(crate) fn encoded_edge<T: Element>(
    port: AnyPort,
    path: &str,
    check: impl FnMut(&T, &T) -> Result<()> + 'static,
) -> Result<AnyPort> {
    let encoded = EncodedEdge {
        out: port.typed::<T>()?,
        path: path.to_owned(),
        bytes: Vec::new(),
        check,
    };
    Ok(Port::new(encoded).erase())
}

/// Ends a collection that nothing consumes.
struct Discard;

impl<T> Receiver<T> for Discard {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        batch.clear();
        Ok(())
    }
}

/// Serves several consumers: clones for all but the last, which gets the elements themselves.
struct Tee<T> {
    clones: Vec<Port<T>>,
    last: Port<T>,
    spare: Batch<T>,
}

impl<T: Element> Receiver<T> for Tee<T> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        for port in &mut self.clones {
            self.spare.values.clear();
            self.spare.values.extend_from_slice(&batch.values);
            self.spare.stamps.clone_from(&batch.stamps);
            port.push(&mut self.spare)?;
        }
        self.last.push(batch)
    }
}

/// Encodes and decodes every element, as an edge between processes would.
struct EncodedEdge<T, C> {
    out: Port<T>,
    path: String,
    bytes: Vec<u8>,
    check: C,
}

impl<T: Element, C> EncodedEdge<T, C> {
    fn copy(&mut self, value: &T) -> Result<T> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::from(ErrorKind::Coder(format!(
                "an element of '{}' (type {}) {what}: {error}. The type's Serialize and \
                 Deserialize must agree; look for skipped, renamed or untagged parts",
                self.path,
                std::any::type_name::<T>()
            )))
        };
        self.bytes.clear();
        coder::encode_to(value, &mut self.bytes).map_err(|e| failed("cannot be encoded", &e))?;
        let mut rest = self.bytes.as_slice();
        let copy: T =
            coder::decode(&mut rest).map_err(|e| failed("cannot be decoded again", &e))?;
        if !rest.is_empty() {
            let left = format!("{} bytes are left over", rest.len());
            return Err(failed("is not decoded whole", &left));
        }
        Ok(copy)
    }
}

impl<T: Element, C: FnMut(&T, &T) -> Result<()>> Receiver<T> for EncodedEdge<T, C> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let values = std::mem::take(&mut batch.values);
        let mut copies = Vec::with_capacity(values.len());
        for value in &values {
            let copy = self.copy(value)?;
            (self.check)(value, &copy)?;
            copies.push(copy);
        }
        batch.values = copies;
        self.out.push(batch)?;
        if !batch.is_empty() {
            batch.clear();
            batch.stamps = Stamps::Same(crate::batch::Stamp::ROOT);
        }
        Ok(())
    }
}

/// Returns the bytes of an element that is a record as it came in (bytes or text), by a cheap
/// handle where it is one.
pub(crate) fn as_raw_bytes(value: &dyn Any) -> Option<bytes::Bytes> {
    if let Some(bytes) = value.downcast_ref::<bytes::Bytes>() {
        return Some(bytes.clone());
    }
    if let Some(bytes) = value.downcast_ref::<Vec<u8>>() {
        return Some(bytes.clone().into());
    }
    value
        .downcast_ref::<String>()
        .map(|text| text.clone().into())
}
