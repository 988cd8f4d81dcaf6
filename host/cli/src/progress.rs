//! What is shown while plugins are compiled.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use sandbar::OpenOptions;
use sandbar::plugins::Preparation;

use crate::terminal::{Stream, Terminal};

/// Options for opening a runtime or its plugins, with a bar on a terminal. Nothing is shown when nothing has to be compiled.
pub(crate) fn open_options(terminal: &Terminal) -> OpenOptions {
    let shown = terminal.is_interactive(Stream::Err) && !terminal.json;
    OpenOptions {
        progress: shown.then(bar),
        protect: Some(terminal.protect()),
        ..OpenOptions::default()
    }
}

fn bar() -> Arc<dyn Fn(Preparation) + Send + Sync> {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Arc::new(move |preparation| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        match (preparation, &*bar) {
            (Preparation::Compiling { total }, _) => {
                let style = ProgressStyle::with_template("  compiling plugins {bar:24} {pos}/{len} {msg}");
                let new = ProgressBar::new(total as u64);
                new.set_style(
                    style
                        .unwrap_or_else(|_| ProgressStyle::default_bar())
                        .progress_chars("━━╌"),
                );
                new.tick();
                *bar = Some(new);
            }
            (Preparation::Compiled { name }, Some(bar)) => {
                bar.set_message(name);
                bar.inc(1);
                if bar.length() == Some(bar.position()) {
                    bar.finish_and_clear();
                }
            }
            (Preparation::Compiled { .. }, None) => {}
        }
    })
}
