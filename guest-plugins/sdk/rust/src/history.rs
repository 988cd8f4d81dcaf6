//! The whole of what a view shows only the head of. Natively there is no history.

/// At most `length` bytes (64 KiB a call) from byte `offset` of the text with this id; none if the run has no such id.
pub fn read_part(id: &str, offset: u64, length: u32) -> Option<String> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::pattern::sandbar::plugin::history::read(id, offset, length);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = (id, offset, length);
        None
    }
}

/// The whole text with this id, up to `limit` bytes and the part that passes it.
pub fn read_all(id: &str, limit: usize) -> Option<String> {
    let mut text = read_part(id, 0, PART_BYTES)?;
    while text.len() < limit {
        match read_part(id, text.len() as u64, PART_BYTES) {
            Some(part) if !part.is_empty() => text.push_str(&part),
            _ => break,
        }
    }
    Some(text)
}

/// The most that the host gives in one call.
const PART_BYTES: u32 = 64 * 1024;
