// SPDX-License-Identifier: GPL-2.0

//! Behaviour tests of the rseq time slice extension.

fn main() {}
