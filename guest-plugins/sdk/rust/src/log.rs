//! Messages for the author and the operator, and partial output. Natively they go nowhere.

#[cfg(target_arch = "wasm32")]
use crate::bindings::sandbar::plugin::{log, progress as sink};

macro_rules! levels {
    ($($name:ident $level:ident $what:literal),*) => {$(
        #[doc = $what]
        pub fn $name(message: impl AsRef<str>) {
            #[cfg(target_arch = "wasm32")]
            log::write(log::Level::$level, message.as_ref());
            #[cfg(not(target_arch = "wasm32"))]
            let _ = message.as_ref();
        }
    )*};
}

levels!(
    debug Debug "Logs what helps to find a mistake in this plugin.",
    info Info "Logs what an operator may want to know.",
    warn Warn "Logs what an operator should look at.",
    error Error "Logs what went wrong for the plugin as a whole."
);

/// Shows partial output of a running tool call to the person who watches; the model never sees it.
pub fn progress(text: impl AsRef<str>) {
    #[cfg(target_arch = "wasm32")]
    sink::report(text.as_ref());
    #[cfg(not(target_arch = "wasm32"))]
    let _ = text.as_ref();
}
