//! `sandbar_fuzz::manifest`, fuzzed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbar_fuzz::manifest(bytes));
