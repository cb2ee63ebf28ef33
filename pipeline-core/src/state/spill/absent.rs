//! No store: the feature `spill` is off.

use std::convert::Infallible;
use std::path::Path;

use super::{Form, Put};
use crate::error::{Error, Result};

pub(crate) type Bytes = Vec<u8>;

pub(super) struct Store(Infallible);

impl Store {
    pub(super) fn open(_: &Path) -> Result<Self> {
        Err(Error::option(
            "memory_limit needs pipeline-core's feature 'spill', which is off",
        ))
    }

    pub(super) fn area(&self, _: usize, _: usize, _: Form) -> Result<Area> {
        match self.0 {}
    }
}

pub(crate) struct Area(Infallible);

impl Area {
    pub(crate) fn write(&self, _: impl FnOnce(&mut Put<'_>) -> Result<()>) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn scan(&self, _: &[u8]) -> Scan {
        match self.0 {}
    }

    pub(crate) fn scan_from(&self, _: &[u8]) -> Scan {
        match self.0 {}
    }

    pub(crate) fn get(&self, _: &[u8]) -> Result<Option<Bytes>> {
        match self.0 {}
    }

    pub(crate) fn insert(&self, _: &[u8], _: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn forget(&self, _: &[u8], _: impl Fn(&[u8]) -> bool) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn clear(&self) -> Result<()> {
        match self.0 {}
    }
}

pub(crate) struct Scan(Infallible);

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0 {}
    }
}
