//! Gives the shared library its soname and keeps it mapped for good.
//!
//! A library whose code has panicked once, or that owns thread-locals, is never really unmapped by
//! `dlclose`; `nodelete` says so openly instead of leaving it to chance.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsvirt.so.0");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
