// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counting inside windows.

use std::collections::HashMap;
use std::io::{self, Write};

use rseq_slice_bench_record::mark::Mark;

/// Where the functions are.
pub(crate) struct FunctionList(Vec<(u64, u64)>);

impl FunctionList {
    /// Reads lines of `START END NAME`. Returns the line that is wrong on an error.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let mut address = || u64::from_str_radix(words.next()?, 16).ok();
            let range = address().zip(address());
            match (range, ranges.last()) {
                (Some((start, end)), None) if start < end => ranges.push((start, end)),
                (Some((start, end)), Some(&(_, last))) if last <= start && start < end => {
                    ranges.push((start, end));
                }
                _ => return Err(line.to_owned()),
            }
        }
        Ok(Self(ranges))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The function at an address, and whether that is its first instruction.
    pub(crate) fn find(&self, address: u64) -> Option<(usize, bool)> {
        let index = self.0.partition_point(|range| range.0 <= address);
        let index = index.checked_sub(1)?;
        let (start, end) = self.0[index];
        (address < end).then_some((index, address == start))
    }
}

/// log2 of a kernel stack's size and alignment on x86_64 without KASAN.
const STACK_SHIFT: u32 = 14;

#[derive(Default, Clone, Copy)]
struct Count {
    instructions: u64,
    calls: u64,
}

/// The counts of the window that is open, and where to write those of closed ones.
pub(crate) struct Windows<W> {
    counts: Vec<Count>,
    touched: Vec<usize>,
    total: u64,
    group: u64,
    open: bool,
    /// The function whose first store tells the stack.
    on_stack: usize,
    /// The stack, by the upper bits of its addresses.
    stack: Option<u64>,
    /// The lowest store in each block of memory of a stack's size.
    lowest: HashMap<u64, u64>,
    out: W,
}

impl<W: Write> Windows<W> {
    pub(crate) fn new(functions: usize, on_stack: usize, out: W) -> Self {
        Self {
            counts: vec![Count::default(); functions],
            touched: Vec::new(),
            total: 0,
            group: 0,
            open: false,
            on_stack,
            stack: None,
            lowest: HashMap::new(),
            out,
        }
    }

    /// An instruction, of a function or of user space.
    pub(crate) fn count(&mut self, function: Option<(usize, bool)>) {
        if !self.open {
            return;
        }
        self.total += 1;
        if let Some((index, entry)) = function {
            let count = &mut self.counts[index];
            if count.instructions == 0 {
                self.touched.push(index);
            }
            count.instructions += 1;
            count.calls += u64::from(entry);
        }
    }

    /// A store of a function.
    pub(crate) fn store(&mut self, function: usize, address: u64) {
        if !self.open {
            return;
        }
        let block = address >> STACK_SHIFT;
        if function == self.on_stack {
            self.stack.get_or_insert(block);
        }
        let lowest = self.lowest.entry(block).or_insert(address);
        *lowest = address.min(*lowest);
    }

    /// Bytes of the stack that were in use; 0 if the function did not run.
    fn depth(&self) -> u64 {
        let in_use = |block: u64| Some(((block + 1) << STACK_SHIFT) - self.lowest.get(&block)?);
        self.stack.and_then(in_use).unwrap_or(0)
    }

    pub(crate) fn mark(&mut self, mark: Mark) -> io::Result<()> {
        match mark {
            Mark::Begin => self.open = true,
            Mark::End => self.close()?,
            Mark::Next => self.group += 1,
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        write!(self.out, "{} {} {}", self.group, self.total, self.depth())?;
        self.total = 0;
        self.stack = None;
        self.lowest.clear();
        self.touched.sort_unstable();
        for index in self.touched.drain(..) {
            let Count {
                instructions,
                calls,
            } = std::mem::take(&mut self.counts[index]);
            write!(self.out, " {index}:{instructions}:{calls}")?;
        }
        writeln!(self.out)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
