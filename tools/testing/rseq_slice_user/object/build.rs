// SPDX-License-Identifier: GPL-2.0

//! What every shared object with `rseq-slice` in it has to be linked with.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
