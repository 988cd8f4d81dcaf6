//! The bytes of one file: what is durable, and what was done to it since it was last synced.

use crate::chance::Chance;

#[derive(Debug, Default)]
pub(super) struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// What a disk may write as a whole: the old sector, and the page of a page cache.
const GRANULES: [usize; 2] = [512, 4096];

/// Of a hundred granules, how many had reached the disk: nothing, little, half, most, all.
const KEPT: [usize; 5] = [0, 10, 50, 90, 100];

/// How often a granule that reached the disk did so only in part.
const TORN: usize = 5;

/// How often a granule that didn't reach the disk, in a part that the file never had, reads as what was there before: anything.
const STALE: usize = 10;

impl Content {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes,
            pending: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.pending.push(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn truncate(&mut self, size: usize) {
        self.pending.push(Change::Truncate(size));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync has failed: Linux calls the pages clean from then on, so that no later sync writes what was in them.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }

    /// What the disk has at once after the power is lost, in the worst case: only what was synced.
    pub(super) fn synced(&self) -> Vec<u8> {
        self.durable.clone()
    }

    /// What the disk may have after the power is lost: what was synced, and of the rest any part in any order.
    pub(super) fn after_power_loss(&self, chance: &mut Chance) -> Vec<u8> {
        let mut image = self.durable.clone();
        let granule = chance.pick(&GRANULES);
        let kept = chance.pick(&KEPT);
        // Mostly nothing was ordered; sometimes what was done last is what is missing.
        let end = if chance.percent(25) {
            chance.below(self.pending.len() + 1)
        } else {
            self.pending.len()
        };
        for change in &self.pending[..end] {
            match change {
                Change::Truncate(size) => {
                    if chance.percent(kept) {
                        image.resize(*size, 0);
                    }
                }
                Change::Write { offset, bytes } => {
                    for (at, piece) in granules(*offset, bytes, granule) {
                        if chance.percent(kept) {
                            let whole = !chance.percent(TORN);
                            let length = if whole { piece.len() } else { chance.below(piece.len()) };
                            put(&mut image, at, &piece[..length]);
                        } else if at >= image.len() && chance.percent(STALE) {
                            let stale = chance.bytes(piece.len());
                            put(&mut image, at, &stale);
                        }
                    }
                }
            }
        }
        image
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Truncate(size) => image.resize(*size, 0),
            Self::Write { offset, bytes } => put(image, *offset, bytes),
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

/// The pieces of a write that lie in different granules of the file, each with its place.
fn granules(offset: usize, bytes: &[u8], granule: usize) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(granule - at % granule));
        pieces.push((at, piece));
        at += piece.len();
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_cut_where_granules_end() {
        let check = |offset: usize, count: usize, expected: &[(usize, usize)]| {
            let bytes = vec![0; count];
            let found: Vec<_> = granules(offset, &bytes, 512)
                .iter()
                .map(|(at, piece)| (*at, piece.len()))
                .collect();
            assert_eq!(found, expected, "{offset} {count}");
        };
        check(0, 0, &[]);
        check(0, 512, &[(0, 512)]);
        check(24, 1000, &[(24, 488), (512, 512)]);
        check(500, 24, &[(500, 12), (512, 12)]);
    }

    /// Of a file of 8 KiB that was synced, then overwritten and grown, over many seeds: whether an outcome was ever seen.
    fn ever(synced: bool, seen: impl Fn(&[u8]) -> bool) -> bool {
        (0..200).any(|seed| {
            let mut content = Content::durable(vec![b'a'; 8192]);
            content.write(0, &vec![b'b'; 12288]);
            if synced {
                content.sync();
            }
            seen(&content.after_power_loss(&mut Chance::new(seed)))
        })
    }

    #[test]
    fn what_is_not_synced_may_be_kept_lost_torn_and_reordered() {
        let first = |image: &[u8], byte: u8| image[..4096].iter().all(|found| *found == byte);
        assert!(ever(false, |image| image == vec![b'a'; 8192]));
        assert!(ever(false, |image| image == vec![b'b'; 12288]));
        let early_is_lost = |image: &[u8]| first(image, b'a') && image[4096..8192].contains(&b'b');
        assert!(ever(false, early_is_lost));
        let late_is_lost = |image: &[u8]| first(image, b'b') && image[4096..8192].contains(&b'a');
        assert!(ever(false, late_is_lost));
        let torn = |image: &[u8]| {
            let mut sectors = image[..8192].chunks(512);
            sectors.any(|sector| sector.contains(&b'a') && sector.contains(&b'b'))
        };
        assert!(ever(false, torn));
        let stale = |image: &[u8]| image.iter().skip(8192).any(|byte| !b"ab\0".contains(byte));
        assert!(ever(false, stale));
        assert!(!ever(true, |image| image != vec![b'b'; 12288]));
    }

    #[test]
    fn what_a_failed_sync_forgot_is_not_written_by_the_next() {
        let mut content = Content::default();
        content.write(0, b"lost");
        content.forget();
        content.write(4, b"kept");
        content.sync();
        assert_eq!(content.synced(), b"\0\0\0\0kept");
    }
}
