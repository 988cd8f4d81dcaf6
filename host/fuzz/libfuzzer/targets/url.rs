//! `sandbar_fuzz::url`, fuzzed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbar_fuzz::url(bytes));
