//! How a cell is saved: its type is known where it is declared, and nowhere else.

use std::any::{Any, type_name};

use crate::coder::{CoderError, Element, decode_strictly, encode_to};
use crate::error::{Error, Result};
use crate::graph::KeptType;

/// Tells the kinds of cells apart; the texts are in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    Value,
    Bag,
}

impl CellKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            CellKind::Value => "value",
            CellKind::Bag => "bag",
        }
    }
}

/// What one cell holds for several keys, each of its type.
pub(crate) type Column = Vec<Option<Box<dyn Any>>>;

type EncodeColumn = fn(&[Option<&dyn Any>], &mut Vec<u8>) -> Result<()>;
type DecodeColumn = fn(&mut &[u8]) -> Result<Column, CoderError>;

/// Describes a cell, and saves it: for several keys together, so that the names of a type's fields
/// are written once.
#[derive(Clone, Debug)]
pub(crate) struct CellSpec {
    pub(crate) name: String,
    pub(crate) kind: CellKind,
    pub(crate) held: KeptType,
    pub(crate) encode: EncodeColumn,
    pub(crate) decode: DecodeColumn,
}

impl CellSpec {
    pub(super) fn value<T: Element>(name: &str) -> Self {
        CellSpec::holding::<T>(name, CellKind::Value)
    }

    pub(super) fn bag<T: Element>(name: &str) -> Self {
        CellSpec::holding::<Vec<T>>(name, CellKind::Bag)
    }

    fn holding<C: Element>(name: &str, kind: CellKind) -> Self {
        CellSpec {
            name: name.to_owned(),
            kind,
            held: KeptType::of::<C>(format!("cell '{name}'")),
            encode: encode::<C>,
            decode: decode_column::<C>,
        }
    }
}

fn encode<C: Element>(column: &[Option<&dyn Any>], out: &mut Vec<u8>) -> Result<()> {
    let column: Vec<Option<&C>> = column.iter().map(|c| typed(*c)).collect::<Result<_>>()?;
    encode_to(&column, out).map_err(|error| Error::connector(error.to_string()))
}

fn typed<C: 'static>(cell: Option<&dyn Any>) -> Result<Option<&C>> {
    let Some(cell) = cell else {
        return Ok(None);
    };
    match cell.downcast_ref() {
        Some(cell) => Ok(Some(cell)),
        None => Err(Error::internal(format!(
            "a cell does not hold a {}",
            type_name::<C>()
        ))),
    }
}

fn decode_column<C: Element>(input: &mut &[u8]) -> Result<Column, CoderError> {
    let column: Vec<Option<C>> = decode_strictly(input)?;
    let erased = |cell: C| -> Box<dyn Any> { Box::new(cell) };
    Ok(column.into_iter().map(|cell| cell.map(erased)).collect())
}
