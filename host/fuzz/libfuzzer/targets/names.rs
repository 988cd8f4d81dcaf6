//! `sandbar_fuzz::names`, fuzzed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbar_fuzz::names(bytes));
