//! End-to-end tests: real components, real journals on disk, real child processes. Only the model is scripted.
//!
//! `cargo xtask test` builds what they need - the program and the guests - and runs them.

#![expect(clippy::unwrap_used, reason = "everything in this file is a test")]

mod support;

// Whole runs as data: a directory each, with what must come out of it.
mod scenarios;
// The agent loop: every action of a pattern, what a run may spend, stopping it.
mod loop_;
// Events: committed before they are shown, and what a session remembers.
mod journal;
// Runs that were cut off, continued from each place where that can happen.
mod recovery;
// Runs that wait for an answer: approvals, questions, limits, sign-ins; and how they are ended.
mod suspension;
// Tasks for other agents.
mod delegation;
// Recorded runs, decided again.
mod replaying;
// Readers that are cut off and come back, also in another process.
mod stream;
// Hostile components: each is stopped, and nobody else notices.
mod limits;
// All hostile components, as a table: alone, and many at once beside an honest session.
mod hostile;
// What the configuration allows, asks about and denies, and what a person reads before they decide.
mod policy;
// Instances: how long they live, how many there are, what they are given.
mod plugins;
// What is remembered, and what plugins keep.
mod memory;
// What a plugin sees of the file system.
mod files;
// Sandbar's own places, which are in no guest's hands.
mod own_places;
// How much guests may put into a directory.
mod room;
// What a plugin may ask of the network, and what it never sees of a secret.
mod egress;
// Secrets, and every place to which somebody could carry them.
mod canaries;
// What names lead to, and how much of the disk and of the host a guest may take.
mod names;
// Components and manifests that can't be used, and what is said of them.
mod broken;
// Compiled code: the worker and the cache.
mod compiling;
// Configurations and scripts that are wrong.
mod config;
// The program: exit codes, what goes where, several of them at once.
mod cli;
// The command line for runs that wait, were cut off, or are recorded; and a person at a terminal.
mod runs;
// A model behind HTTP: its answers, and whatever a server may do wrong.
mod provider;
// Chats with their messages on standard input, and who decides about changes.
mod chat;
// Several processes on one data directory, and a killed one.
mod processes;
// The kernel's wall around the program: what it holds, and what works behind it.
#[cfg(target_os = "linux")]
mod wall;
// The audit, the plugins that were approved, and those that are put aside.
mod ledger;
// A plugin's author: a project, its component, its cases, and the mistakes on the way.
mod author;
// The contract from Python and JavaScript.
mod portable;
// The examples do what their texts say.
mod examples;
// Every guest has a test.
mod guests;
