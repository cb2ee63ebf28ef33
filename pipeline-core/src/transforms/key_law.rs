//! The law of keys, `a == b` exactly when their encodings are equal, checked in the mode that
//! encodes every edge.
//!
//! [`check_key`](crate::coder::check_key) refuses what a type's shape gives away when the pipeline
//! is built. What it cannot see (a skipped field that `Eq` looks at, an `Eq` that looks at less
//! than serde) is found here, on the keys that come by.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use crate::coder::{self, Element, Key};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{AnyPort, TypeOps, TypeOpsOf, encoded_edge};
use crate::metrics::Counter;
use crate::pcollection::PCollection;
use crate::state::key_table::KeyTable;
use crate::user_code::describe;

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Has the keys checked on every edge that leads here with pairs of this type; `path` names
    /// the transform that groups by them.
    pub(super) fn hold_keys_to_their_law(&self, path: &str) {
        let mut graph = self.pipeline().graph_mut();
        let types: Arc<dyn TypeOps> = Arc::new(Keyed::<K, V> {
            plain: TypeOpsOf::new(),
            path: path.into(),
        });
        let mut next = vec![self.id()];
        while let Some(id) = next.pop() {
            graph.collections[id].types = Arc::clone(&types);
            let producer = graph.nodes.iter().find(|node| node.outputs.contains(&id));
            for &input in producer.iter().flat_map(|node| &node.inputs) {
                if graph.collections[input].types.element() == types.element() {
                    next.push(input);
                }
            }
        }
    }
}

/// What can be done with pairs that are grouped by their keys further on.
struct Keyed<K, V> {
    plain: TypeOpsOf<(K, V)>,
    path: Arc<str>,
}

impl<K: Key, V: Element> TypeOps for Keyed<K, V> {
    fn element(&self) -> TypeId {
        self.plain.element()
    }

    fn join(&self, ports: Vec<AnyPort>, passed: Counter) -> Result<AnyPort> {
        self.plain.join(ports, passed)
    }

    fn encoded(&self, port: AnyPort, path: &str) -> Result<AnyPort> {
        let mut law = Law::<K> {
            encodings: KeyTable::default(),
            path: Arc::clone(&self.path),
        };
        encoded_edge::<(K, V)>(port, path, move |(key, _), (copy, _)| law.check(key, copy))
    }
}

/// The keys that have come by on one edge. They are all kept, which only a mode for tests may do.
struct Law<K> {
    encodings: KeyTable<K, Vec<u8>>,
    path: Arc<str>,
}

impl<K: Key> Law<K> {
    fn check(&mut self, key: &K, copy: &K) -> Result<()> {
        // Were two unequal keys encoded alike, one of them would not equal the copy.
        if key != copy {
            let what = format!("is decoded as {}, which does not equal it", describe(copy));
            return Err(self.broken(key, &what));
        }
        let mut encoding = Vec::new();
        coder::encode_to(key, &mut encoding)
            .map_err(|error| self.broken(key, &format!("cannot be encoded: {error}")))?;
        let slot = self.encodings.entry(key.clone(), || encoding.clone());
        let first = self.encodings.get_mut(slot);
        if let Some((equal, _)) = first.filter(|(_, first)| **first != encoding) {
            let what = format!("equals {} but is encoded differently", describe(equal));
            return Err(self.broken(key, &what));
        }
        Ok(())
    }

    fn broken(&self, key: &K, what: &str) -> Error {
        ErrorKind::Coder(format!(
            "'{}' groups by keys of type {}, and {} {what}: keys must be equal exactly when their \
             encodings are. Let Serialize, Deserialize and Eq look at the same fields",
            self.path,
            type_name::<K>(),
            describe(key)
        ))
        .into()
    }
}
