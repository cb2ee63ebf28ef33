//! What a pipeline can carry ([`Element`]) and group by ([`Key`]).

use std::hash::Hash;

use serde::{Serialize, de::DeserializeOwned};

/// Marks the types that a collection can hold: owned data with serde's two traits.
///
/// It is implemented for every type that qualifies; there is nothing to write but the derives.
///
/// ```
/// use pipeline_core::coder::Element;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Order {
///     id: u64,
///     city: Option<String>,
/// }
///
/// fn carries<T: Element>() {}
/// carries::<Order>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a collection",
    label = "not an element",
    note = "an element is owned data: `Clone + Send + Sync + Serialize + DeserializeOwned + 'static`",
    note = "add `#[derive(Clone, serde::Serialize, serde::Deserialize)]` to `{Self}`, and to the types of its fields",
    note = "own what it borrows (`String` for `&str`, `Arc` for `Rc`); a type of another crate often has a `serde` feature"
)]
pub trait Element: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Element for T {}

/// Marks the elements that a pipeline can group by.
///
/// Workers find a key's group by its encoding, so the law of a key is: `a == b` exactly when their encodings are equal.
/// The compiler refuses floats, `HashMap` and `HashSet` (they are not `Eq + Hash`); [`check_key`](super::check_key)
/// finds what hides in wrappers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "a key is an element that is also `Eq + Hash`: add `#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]`",
    note = "floats have no exact equality: scale them to an integer, or use `to_bits()`; for a map use `BTreeMap`, for a set `BTreeSet`"
)]
pub trait Key: Element + Hash + Eq {}

#[diagnostic::do_not_recommend]
impl<T: Element + Hash + Eq> Key for T {}
