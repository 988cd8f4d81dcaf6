//! Secrets that the host adds to requests. Natively there are none.

/// Whether there is a secret of that name which this plugin was granted: then requests to the hosts that it is for carry it. Its value
/// is not to be had.
pub fn exists(name: &str) -> bool {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::sandbar::plugin::secrets::exists(name);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = name;
        false
    }
}
