//! `sandbar_fuzz::journal`, fuzzed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbar_fuzz::journal(bytes));
