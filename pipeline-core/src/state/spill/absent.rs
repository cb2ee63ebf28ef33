//! No store: the feature `spill` is off.

use std::convert::Infallible;
use std::path::Path;

use crate::error::{Error, Result};

pub(super) struct Store(Infallible);

impl Store {
    pub(super) fn open(_: &Path) -> Result<Self> {
        Err(Error::option(
            "memory_limit needs pipeline-core's feature 'spill', which is off",
        ))
    }

    pub(super) fn area(&self, _: usize, _: usize) -> Result<Area> {
        match self.0 {}
    }
}

pub(crate) struct Area(Infallible);

impl Area {
    pub(crate) fn write(
        &self,
        _: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn scan(&self, _: &[u8]) -> Scan {
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
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0 {}
    }
}
