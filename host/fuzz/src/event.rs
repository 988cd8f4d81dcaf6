//! Events of the journal, as they are read back.

use sandbar_protocol::EventBody;
use serde_json::Value;

/// Whatever is read as an event is written as one that reads the same.
pub fn event(bytes: &[u8]) {
    let read = serde_json::from_slice::<EventBody>(bytes);
    let (Ok(_), Ok(value)) = (read, serde_json::from_slice::<Value>(bytes)) else {
        return;
    };
    // A field that is there twice makes it an event that isn't known, and once it is written it is there once.
    let Ok(event) = serde_json::from_str::<EventBody>(&value.to_string()) else {
        return;
    };
    let written = serde_json::to_vec(&event).expect("what was read can be written");
    let again: EventBody = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again.name(), event.name());
    let written_again = serde_json::to_vec(&again).expect("what was read can be written");
    assert_eq!(
        String::from_utf8_lossy(&written_again),
        String::from_utf8_lossy(&written)
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A seed that is no event would begin nowhere.
    #[test]
    fn seeds_are_events() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/event");
        for seed in seeds.read_dir().unwrap() {
            let path = seed.unwrap().path();
            let read = serde_json::from_slice::<EventBody>(&std::fs::read(&path).unwrap());
            assert!(read.is_ok(), "{}: {read:?}", path.display());
        }
    }
}
