// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernel functions, and what the plugin counted in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use serde::{Deserialize, Serialize};

/// The functions of a kernel, by address.
pub(crate) struct FunctionList(Vec<Function>);

struct Function {
    start: u64,
    end: u64,
    name: String,
}

impl FunctionList {
    /// Those in a `vmlinux`. Each ends where the next one starts.
    pub(crate) fn read(vmlinux: &Path) -> Result<Self> {
        let data = fs::read(vmlinux).with_context(|| vmlinux.display().to_string())?;
        let file = object::File::parse(&*data)?;
        let mut starts = BTreeMap::new();
        let mut ends = Vec::new();
        for section in file.sections().filter(|s| s.kind() == SectionKind::Text) {
            ends.push((section.address(), section.address() + section.size()));
        }
        for symbol in file.symbols() {
            let address = symbol.address();
            let in_text = ends.iter().any(|&(from, to)| (from..to).contains(&address));
            let name = symbol.name().unwrap_or_default();
            // The compiler's and objtool's names inside functions.
            if !in_text || name.is_empty() || name.starts_with("__pfx_") || name.starts_with('.') {
                continue;
            }
            // Of several names for one address a function's is best, then the first.
            let rank = (symbol.size() == 0, name.to_owned());
            let best = starts.entry(address).or_insert_with(|| rank.clone());
            if rank < *best {
                *best = rank;
            }
        }
        let addresses: Vec<u64> = starts.keys().copied().collect();
        let functions = starts
            .into_iter()
            .enumerate()
            .filter_map(|(i, (start, (_, name)))| {
                let section = ends
                    .iter()
                    .find(|&&(from, to)| (from..to).contains(&start))?;
                let next = addresses.get(i + 1).copied().unwrap_or(u64::MAX);
                Some(Function {
                    start,
                    end: next.min(section.1),
                    name,
                })
            })
            .collect();
        Ok(Self(functions))
    }

    /// The index of a function in the list.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|function| function.name == name)
    }

    /// Writes the list that the plugin reads.
    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        let mut list = String::new();
        for Function { start, end, name } in &self.0 {
            writeln!(list, "{start:x} {end:x} {name}")?;
        }
        fs::write(to, list).with_context(|| to.display().to_string())
    }
}

/// What one function took in the windows of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Median of the instructions of a window.
    pub(crate) median: u64,
    /// Their mean.
    pub(crate) mean: f64,
    /// Calls in all windows.
    pub(crate) calls: u64,
}

/// The windows of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// How many there are.
    pub(crate) windows: usize,
    /// Median of the kernel's instructions in a window.
    pub(crate) kernel_median: u64,
    /// Median of the bytes in use of the thread's kernel stack.
    pub(crate) stack_median: u64,
    /// By name.
    pub(crate) functions: BTreeMap<String, Cost>,
}

impl Group {
    /// How often one of the functions was called in all windows.
    pub(crate) fn calls(&self, names: &[&str]) -> u64 {
        names
            .iter()
            .filter_map(|&name| self.functions.get(name))
            .map(|cost| cost.calls)
            .sum()
    }

    fn new(windows: &[Window], functions: &FunctionList) -> Result<Self> {
        let mut counts: BTreeMap<usize, (Vec<u64>, u64)> = BTreeMap::new();
        let mut sums = Vec::new();
        for Window { counts: window, .. } in windows {
            sums.push(
                window
                    .iter()
                    .map(|&(_, instructions, _)| instructions)
                    .sum(),
            );
            for &(index, instructions, calls) in window {
                let count = counts.entry(index).or_default();
                count.0.push(instructions);
                count.1 += calls;
            }
        }
        let mut group = Self {
            windows: windows.len(),
            kernel_median: median(&mut sums),
            stack_median: median(&mut windows.iter().map(|w| w.stack).collect::<Vec<_>>()),
            functions: BTreeMap::new(),
        };
        for (index, (mut instructions, calls)) in counts {
            let name = &functions.0.get(index).context("no such function")?.name;
            let name = format!("{:#}", rustc_demangle::demangle(name));
            let sum: u64 = instructions.iter().sum();
            instructions.resize(windows.len(), 0);
            let cost = group.functions.entry(name).or_insert(Cost {
                median: 0,
                mean: 0.0,
                calls: 0,
            });
            cost.median += median(&mut instructions);
            cost.mean += sum as f64 / windows.len() as f64;
            cost.calls += calls;
        }
        Ok(group)
    }
}

/// One window: the bytes of the stack, and the index, the instructions and the calls of functions.
struct Window {
    stack: u64,
    counts: Vec<(usize, u64, u64)>,
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}

/// All groups of a boot, in order.
pub(crate) struct BootGroups(pub(crate) Vec<Group>);

impl BootGroups {
    pub(crate) fn read(functions: &FunctionList, counts: &Path) -> Result<Self> {
        let text = fs::read_to_string(counts)
            .with_context(|| format!("{}: the plugin has written nothing", counts.display()))?;
        Self::parse(functions, &text).with_context(|| counts.display().to_string())
    }

    fn parse(functions: &FunctionList, text: &str) -> Result<Self> {
        let mut groups: Vec<Vec<Window>> = Vec::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut number = || words.next()?.parse::<usize>().ok();
            let group = number().context("no group")?;
            let total = number().context("no total")?;
            let stack = number().context("no stack")? as u64;
            let counts: Vec<(usize, u64, u64)> = words
                .map(|word| {
                    let mut parts = word.split(':').map(str::parse::<u64>);
                    let mut part = || parts.next()?.ok();
                    let (index, instructions, calls) = (part()?, part()?, part()?);
                    Some((usize::try_from(index).ok()?, instructions, calls))
                })
                .collect::<Option<_>>()
                .with_context(|| line.to_owned())?;
            let kernel: u64 = counts.iter().map(|count| count.1).sum();
            ensure!(
                kernel <= total as u64,
                "more in the kernel than in all: {line}"
            );
            if groups.len() <= group {
                groups.resize_with(group + 1, Vec::new);
            }
            groups[group].push(Window { stack, counts });
        }
        let groups = groups
            .iter()
            .map(|windows| Group::new(windows, functions))
            .collect::<Result<_>>()?;
        Ok(Self(groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(names: &[&str]) -> FunctionList {
        let function = |(i, name): (usize, &&str)| Function {
            start: i as u64 * 16,
            end: i as u64 * 16 + 16,
            name: (*name).to_owned(),
        };
        FunctionList(names.iter().enumerate().map(function).collect())
    }

    #[test]
    fn windows_are_summed_up_by_function() {
        let functions = functions(&["enter", "timer", "exit"]);
        let text =
            "0 30 8 0:10:1 2:5:1\n0 32 9 0:10:1 1:9:2 2:7:1\n0 99 7 0:10:1 2:6:1\n2 5 0 1:4:1\n";
        let BootGroups(groups) = BootGroups::parse(&functions, text).unwrap();
        assert_eq!(groups.len(), 3);
        assert_eq!((groups[0].windows, groups[1].windows), (3, 0));
        assert_eq!((groups[0].kernel_median, groups[0].stack_median), (16, 8));
        assert_eq!(groups[0].functions["exit"].median, 6);
        assert_eq!(
            groups[0].functions["timer"],
            Cost {
                median: 0,
                mean: 3.0,
                calls: 2
            }
        );
        assert_eq!(groups[0].calls(&["enter", "timer", "none"]), 5);
        assert_eq!(groups[2].calls(&["timer"]), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let functions = functions(&["enter"]);
        for text in [
            "0",
            "x 1 1",
            "0 5",
            "0 5 0 0:6:1",
            "0 5 0 0:1",
            "0 5 0 7:1:1",
        ] {
            assert!(BootGroups::parse(&functions, text).is_err(), "{text}");
        }
    }
}
