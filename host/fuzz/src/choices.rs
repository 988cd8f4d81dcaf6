//! Bytes read as decisions, so that a fuzzer's mutations change one thing at a time.

pub(crate) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Zero when there is nothing left.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % (most + 1)
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// Those whose bits are set.
    pub(crate) fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        let bits = self.byte();
        of.iter()
            .enumerate()
            .filter(|(at, _)| bits >> (at % 8) & 1 == 1)
            .map(|(_, item)| *item)
            .collect()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
