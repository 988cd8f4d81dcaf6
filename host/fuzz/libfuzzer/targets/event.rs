//! `sandbar_fuzz::event`, fuzzed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbar_fuzz::event(bytes));
