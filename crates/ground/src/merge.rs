//! Reads several parts of the store at once, the newer before the older: for each key the newest
//! part that has it counts.

use std::sync::Arc;

use bytes::Bytes;
use journal::DiskFile;

use crate::Key;
use crate::block::{self, Value};
use crate::cache::Cache;
use crate::error::GroundError;
use crate::file::SortedFile;
use crate::memory::{Memory, MemoryRange};
use crate::read::{Aside, Pairs, read_bytes};
use crate::run::Run;

/// A part of the store, read from a key on.
pub(crate) enum Source<'a, F> {
    Memory { rest: MemoryRange<'a>, head: Option<(Key, Value)> },
    Run(RunSource<'a, F>),
}

/// A run, read from a key on.
pub(crate) struct RunSource<'a, F> {
    run: &'a Run<F>,
    cache: Option<&'a Cache>,
    file: usize,
    block: usize,
    loaded: Loaded,
    asides: Vec<Aside>,
}

/// The block at which a run is read.
enum Loaded {
    /// Its pairs, which others may share, and the place among them.
    Pairs { pairs: Pairs, at: usize },
    /// Its bytes: pairs are taken out one by one.
    Bytes { block: Bytes, head: Option<(Key, Value)>, is_first: bool, next: usize },
}

impl Loaded {
    fn nothing() -> Self {
        Self::Pairs { pairs: Pairs::default(), at: 0 }
    }

    fn bytes(block: Bytes) -> Self {
        let mut loaded = Self::Bytes { block, head: None, is_first: true, next: 0 };
        loaded.read_head();
        loaded
    }

    fn head(&self) -> Option<(&Key, &Value)> {
        match self {
            Self::Pairs { pairs, at } => pairs.get(*at).map(|(key, value)| (key, value)),
            Self::Bytes { head, .. } => head.as_ref().map(|(key, value)| (key, value)),
        }
    }

    /// True where the head is the first pair.
    const fn is_at_first(&self) -> bool {
        match self {
            Self::Pairs { at, .. } => *at == 0,
            Self::Bytes { is_first, .. } => *is_first,
        }
    }

    fn advance(&mut self) {
        match self {
            Self::Pairs { at, .. } => *at += 1,
            Self::Bytes { is_first, .. } => {
                *is_first = false;
                self.read_head();
            }
        }
    }

    /// Goes on to the first pair that is not before this key.
    fn pass_to(&mut self, from: &Key) {
        if let Self::Pairs { pairs, at } = self {
            *at = pairs.partition_point(|(key, _)| key < from);
        }
        while self.head().is_some_and(|(key, _)| key < from) {
            self.advance();
        }
    }

    fn read_head(&mut self) {
        let Self::Bytes { block, head, next, .. } = self else { return };
        *head = block::read_pair(block, *next).map(|(key, value, end)| {
            *next = end;
            (key, value)
        });
    }
}

impl<'a, F: DiskFile> Source<'a, F> {
    /// `to`: what is behind it may be left out.
    pub(crate) fn memory(memory: &'a Memory, from: &Key, to: &Key) -> Self {
        let mut rest = memory.range(from, to);
        let head = rest.next();
        Self::Memory { rest, head }
    }

    /// `cache`: blocks are taken from it and kept in it; without one they are read once.
    pub(crate) fn run(
        run: &'a Run<F>,
        from: &Key,
        cache: Option<&'a Cache>,
    ) -> Result<Self, GroundError> {
        let file = run.file_of(from);
        let block = run.files.get(file).map_or(0, |file| file.block_of(from));
        let (loaded, asides) = (Loaded::nothing(), Vec::new());
        let mut source = RunSource { run, cache, file, block, loaded, asides };
        source.load()?;
        source.loaded.pass_to(from);
        if source.loaded.head().is_none() {
            // All keys of the blocks behind this one are greater.
            source.block += 1;
            source.load()?;
        }
        Ok(Self::Run(source))
    }

    pub(crate) fn head(&self) -> Option<(&Key, &Value)> {
        match self {
            Self::Memory { head, .. } => head.as_ref().map(|(key, value)| (key, value)),
            Self::Run(source) => source.head(),
        }
    }

    pub(crate) fn advance(&mut self) -> Result<(), GroundError> {
        match self {
            Self::Memory { rest, head } => {
                *head = rest.next();
                Ok(())
            }
            Self::Run(source) => source.advance(),
        }
    }

    fn hides(&self, key: &Key) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Run(source) => {
                let is_aside = source.asides.iter().any(|aside| aside.covers(key));
                is_aside && source.run.may_have(key)
            }
        }
    }

    /// The bad blocks that were met.
    pub(crate) fn asides(&self) -> &[Aside] {
        match self {
            Self::Memory { .. } => &[],
            Self::Run(source) => &source.asides,
        }
    }

    /// The file of which the head is the first pair.
    pub(crate) fn whole_file(&self) -> Option<&Arc<SortedFile<F>>> {
        match self {
            Self::Memory { .. } => None,
            Self::Run(source) => source.whole_file(),
        }
    }

    /// True where the head is the first pair of a block.
    pub(crate) fn begins_block(&self) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Run(source) => source.loaded.is_at_first(),
        }
    }

    /// Goes on behind the file of the head.
    pub(crate) fn skip_file(&mut self) -> Result<(), GroundError> {
        match self {
            Self::Memory { .. } => Ok(()),
            Self::Run(source) => source.skip_file(),
        }
    }
}

impl<F: DiskFile> RunSource<'_, F> {
    fn head(&self) -> Option<(&Key, &Value)> {
        self.loaded.head()
    }

    fn advance(&mut self) -> Result<(), GroundError> {
        self.loaded.advance();
        if self.loaded.head().is_none() {
            self.block += 1;
            self.load()?;
        }
        Ok(())
    }

    /// Reads the block at the place, or the next good one behind it.
    fn load(&mut self) -> Result<(), GroundError> {
        self.loaded = Loaded::nothing();
        while let Some(file) = self.run.files.get(self.file) {
            if self.block >= file.blocks() {
                (self.file, self.block) = (self.file + 1, 0);
                continue;
            }
            let read = match self.cache {
                Some(cache) => {
                    cache.block(file, self.block)?.map(|pairs| Loaded::Pairs { pairs, at: 0 })
                }
                None => read_bytes(file, self.block)?.map(Loaded::bytes),
            };
            match read {
                Ok(loaded) if loaded.head().is_some() => {
                    self.loaded = loaded;
                    return Ok(());
                }
                Ok(_) => {}
                Err(aside) => self.asides.push(aside),
            }
            self.block += 1;
        }
        Ok(())
    }

    fn whole_file(&self) -> Option<&Arc<SortedFile<F>>> {
        (self.block == 0 && self.loaded.is_at_first())
            .then(|| self.run.files.get(self.file))
            .flatten()
    }

    fn skip_file(&mut self) -> Result<(), GroundError> {
        (self.file, self.block) = (self.file + 1, 0);
        self.load()
    }
}

/// Which of the values of a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Counts {
    /// The newest. None where the block is bad in which a newer one would be.
    #[default]
    Newest,
    /// The newest that can be read.
    NewestFound,
    /// That of the memory; else a removal counts more than any value, since it is not known which
    /// of the other parts is newer.
    Removal,
}

/// Several parts, the newest first.
pub(crate) struct Merge<'a, F> {
    pub(crate) sources: Vec<Source<'a, F>>,
    pub(crate) counts: Counts,
}

impl<F: DiskFile> Merge<'_, F> {
    /// The source whose head has the lowest key, the newest among those with the same key.
    pub(crate) fn lowest(&self) -> Option<usize> {
        let mut lowest: Option<(usize, &Key)> = None;
        for (index, source) in self.sources.iter().enumerate() {
            if let Some((key, _)) = source.head()
                && lowest.is_none_or(|(_, other)| key < other)
            {
                lowest = Some((index, key));
            }
        }
        lowest.map(|(index, _)| index)
    }

    /// The lowest key of all sources but this one.
    pub(crate) fn lowest_beside(&self, index: usize) -> Option<Key> {
        let others = self.sources.iter().enumerate().filter(|(other, _)| *other != index);
        others.filter_map(|(_, source)| source.head()).map(|(key, _)| *key).min()
    }

    /// Goes on behind a key, which is the lowest.
    pub(crate) fn pass(&mut self, key: &Key) -> Result<(), GroundError> {
        for source in &mut self.sources {
            if source.head().is_some_and(|(head, _)| head == key) {
                source.advance()?;
            }
        }
        Ok(())
    }

    /// The next key and its value, or the mark that it was removed.
    pub(crate) fn next(&mut self) -> Result<Option<(Key, Value)>, GroundError> {
        while let Some(index) = self.lowest() {
            let Some((key, value)) = self.sources.get(index).and_then(Source::head) else { break };
            let (key, mut value) = (*key, value.clone());
            let is_hidden = self.counts == Counts::Newest
                && self.sources.iter().take(index).any(|newer| newer.hides(&key));
            for source in &mut self.sources {
                let Some((_, other)) = source.head().filter(|(other, _)| **other == key) else {
                    continue;
                };
                if index > 0 && self.counts == Counts::Removal && other.is_none() {
                    value = None;
                }
                source.advance()?;
            }
            if !is_hidden {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}
