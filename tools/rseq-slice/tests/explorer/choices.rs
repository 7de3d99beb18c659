// SPDX-License-Identifier: MIT OR Apache-2.0

//! All sequences of choices, depth first.

/// One sequence. A program that asks for the same choices again after [`next`](Self::next) gets the
/// following one.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    /// What was chosen, out of how many.
    made: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// A number below `of`.
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        if self.at == self.made.len() {
            self.made.push((0, of));
        }
        let (chosen, before) = self.made[self.at];
        assert_eq!(of, before, "the program is not a function of its choices");
        self.at += 1;
        chosen
    }

    /// Goes to the next sequence; false after the last.
    pub(crate) fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.made.pop() {
            if chosen + 1 < of {
                self.made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

#[test]
fn every_sequence_comes_once() {
    let mut choices = Choices::default();
    let mut seen = Vec::new();
    loop {
        let first = choices.choose(3);
        seen.push((first, if first == 1 { choices.choose(2) } else { 0 }));
        if !choices.next() {
            break;
        }
    }
    assert_eq!(seen, [(0, 0), (1, 0), (1, 1), (2, 0)]);
}
