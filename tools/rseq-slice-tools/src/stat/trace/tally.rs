// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events, counted and shown.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use rseq_slice_debugfs::Counters;
use serde::Serialize;

/// Buckets up to the length of an extension.
const BUCKETS: u64 = 10;
/// Characters of the longest bar.
const WIDTH: u64 = 40;
/// Significant digits of the times.
const DIGITS: u8 = 3;

/// The reasons of refusals, in words.
const REASONS: [(&str, &str); 9] = [
    ("signal", "a signal was pending"),
    ("notify_resume", "task work was pending"),
    (
        "rseq",
        "the area was to be updated, as after a page fault that slept",
    ),
    ("uprobe", "a probe was hit"),
    ("livepatch", "a live patch was pending"),
    ("arch", "the architecture had other work"),
    ("urgent", "the reschedule was urgent"),
    (
        "switched",
        "the thread was scheduled out before the decision",
    ),
    ("cpu", "coarse timers, or core scheduling"),
];

/// The sums of the events of some time.
pub(crate) struct Tally {
    counters: Counters,
    /// The times used, in nanoseconds.
    used: Histogram<u64>,
    /// Refusals by reason.
    refused: BTreeMap<String, u64>,
    /// Events that came faster than they were read.
    lost: u64,
    /// The longest extension granted, in nanoseconds.
    length: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counters: Counters::NOTHING,
            used: Histogram::new(DIGITS).expect("a valid number of digits"),
            refused: BTreeMap::new(),
            lost: 0,
            length: 0,
        }
    }
}

/// A part of the times used, from and below that many nanoseconds.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Bucket {
    from: u64,
    below: Option<u64>,
    count: u64,
}

/// What was traced in addition to the counts.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    used_ns: Vec<Bucket>,
    median_ns: u64,
    p99_ns: u64,
    longest_ns: u64,
    refused: BTreeMap<String, u64>,
    lost_events: u64,
}

impl Tally {
    /// Counts a line of a trace. Lines that are no event of the extension are ignored.
    pub(super) fn count(&mut self, line: &str) {
        if let Some(lost) = lost(line) {
            self.lost += lost;
        }
        let Some((_, event)) = line.rsplit_once(": rseq_slice_") else {
            return;
        };
        let field = |name: &str| {
            let mut pairs = event.split(' ').filter_map(|field| field.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let number = |name: &str| field(name).and_then(|value| value.parse().ok());
        let counters = &mut self.counters;
        match event.split(':').next() {
            Some("grant") => {
                counters.granted += 1;
                self.length = self.length.max(number("length").unwrap_or(0));
            }
            Some("expire") => counters.expired += 1,
            Some("refuse") => {
                let reason = field("reason").unwrap_or("unknown");
                *self.refused.entry(reason.to_owned()).or_default() += 1;
            }
            Some("end") => {
                match field("how") {
                    Some("yielded") => counters.yielded += 1,
                    Some("aborted") => counters.aborted += 1,
                    Some("revoked") => counters.revoked += 1,
                    Some("died") => *counters.died.get_or_insert(0) += 1,
                    _ => {}
                }
                if let Some(used) = number("used") {
                    // It grows as it has to.
                    let _ = self.used.record(used);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The longest extension that was granted.
    pub(crate) fn length(&self) -> Option<u32> {
        u32::try_from(self.length)
            .ok()
            .filter(|&length| length != 0)
    }

    pub(crate) fn summary(self) -> Summary {
        Summary {
            used_ns: self.buckets(),
            median_ns: self.used.value_at_quantile(0.5),
            p99_ns: self.used.value_at_quantile(0.99),
            longest_ns: self.used.max(),
            refused: self.refused,
            lost_events: self.lost,
        }
    }

    fn buckets(&self) -> Vec<Bucket> {
        if self.used.is_empty() {
            return Vec::new();
        }
        // A grant that was made before the trace began tells its time, but not its length.
        let length = if self.length == 0 {
            self.used.max() + 1
        } else {
            self.length
        };
        let step = length.div_ceil(BUCKETS);
        let mut buckets: Vec<_> = (0..=BUCKETS)
            .map(|number| Bucket {
                from: number * step,
                below: (number < BUCKETS).then_some((number + 1) * step),
                count: 0,
            })
            .collect();
        for value in self.used.iter_recorded() {
            let number = (value.value_iterated_to() / step).min(BUCKETS);
            buckets[number as usize].count += value.count_since_last_iteration();
        }
        buckets
    }
}

/// How many events were lost before that line, if it says so.
fn lost(line: &str) -> Option<u64> {
    let (_, text) = line.split_once("[LOST ")?;
    text.split(' ').next()?.parse().ok()
}

impl Summary {
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        if !self.used_ns.is_empty() {
            writeln!(out, "time used, in us")?;
        }
        let most = self.used_ns.iter().map(|bucket| bucket.count).max();
        for Bucket { from, below, count } in &self.used_ns {
            let range = match below {
                Some(below) => format!("{:4.1} - {:4.1}", micros(*from), micros(*below)),
                None => format!("{:4.1} or more", micros(*from)),
            };
            let length = (count * WIDTH).div_ceil(most.unwrap_or(1).max(1));
            let bar = "#".repeat(length as usize);
            writeln!(
                out,
                "{}",
                format!("  {range:12} {count:9}  {bar}").trim_end()
            )?;
        }
        if !self.used_ns.is_empty() {
            writeln!(
                out,
                "  half of them at most {:.1}, 99 % at most {:.1}, the longest {:.1}",
                micros(self.median_ns),
                micros(self.p99_ns),
                micros(self.longest_ns)
            )?;
        }
        if !self.refused.is_empty() {
            writeln!(out, "requests refused")?;
        }
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in refused {
            let words = REASONS.iter().find(|(name, _)| name == reason);
            let words = words.map_or("", |(_, words)| words);
            writeln!(
                out,
                "{}",
                format!("{count:9}  {reason:13}  {words}").trim_end()
            )?;
        }
        if self.lost_events != 0 {
            writeln!(
                out,
                "{} events were lost: the counts are too low",
                self.lost_events
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
          <...>-85      [000] d..1.     0.1: rseq_slice_grant: length=5000
 a: b [1] =-85      [000] .....     0.2: rseq_slice_end: how=yielded used=250
           spin-85      [000] d..1.     0.3: rseq_slice_grant: length=5000
           spin-85      [000] d.h1.     0.4: rseq_slice_expire: used=5100
           spin-85      [000] .....     0.5: rseq_slice_end: how=revoked used=7300
           spin-85      [000] d..1.     0.6: rseq_slice_grant: length=5000
           spin-85      [000] .....     0.7: rseq_slice_end: how=died used=499
CPU:0 [LOST 12 EVENTS]
           spin-85      [000] d..1.     0.8: rseq_slice_grant: length=5000
           spin-85      [000] .....     0.9: rseq_slice_end: how=aborted used=600
           spin-85      [000] .....     1.0: rseq_slice_refuse: reason=signal work=0x1f
           spin-85      [000] .....     1.1: rseq_slice_refuse: reason=new work=0x0
           spin-85      [000] .....     1.1: rseq_slice_refuse: reason=new work=0x0
           spin-85      [000] .....     1.2: sched_switch: used=3
";

    fn tally() -> Tally {
        let mut tally = Tally::default();
        LINES.lines().for_each(|line| tally.count(line));
        tally
    }

    #[test]
    fn events_are_counted() {
        let tally = tally();
        let expected = Counters {
            granted: 4,
            expired: 1,
            revoked: 1,
            yielded: 1,
            aborted: 1,
            died: Some(1),
        };
        assert_eq!(tally.counters(), expected);
        assert_eq!(tally.length(), Some(5000));
        let summary = tally.summary();
        assert_eq!((summary.lost_events, summary.longest_ns / 10), (12, 730));
        assert_eq!(summary.refused["signal"], 1);
        assert_eq!(summary.refused["new"], 2);
    }

    #[test]
    fn times_are_in_buckets_of_a_tenth() {
        let counts: Vec<_> = tally()
            .buckets()
            .iter()
            .map(|bucket| bucket.count)
            .collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_summary_is_a_picture() {
        let mut text = Vec::new();
        tally().summary().print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "time used, in us");
        let bar = "#".repeat(WIDTH as usize);
        assert_eq!(lines[1], format!("   0.0 -  0.5          2  {bar}"));
        assert_eq!(lines[3], "   1.0 -  1.5          0");
        assert_eq!(
            lines[11],
            format!("   5.0 or more         1  {}", "#".repeat(20))
        );
        assert_eq!(
            lines[12],
            "  half of them at most 0.5, 99 % at most 7.3, the longest 7.3"
        );
        assert_eq!(lines[13..15], ["requests refused", "        2  new"]);
        assert_eq!(lines[15], "        1  signal         a signal was pending");
        assert_eq!(lines[16], "12 events were lost: the counts are too low");
        assert_eq!(lines.len(), 17);
    }

    #[test]
    fn nothing_is_nothing() {
        let mut text = Vec::new();
        Tally::default().summary().print(&mut text).unwrap();
        assert_eq!(text, b"");
    }
}
