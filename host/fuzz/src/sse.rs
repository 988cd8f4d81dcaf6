//! Server-sent events of a model's provider, cut anywhere.

use crate::choices::Choices;

/// The events are the same however the network cuts the stream.
pub fn sse(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let size = choices.up_to(15) + 1;
    let stream = choices.rest();
    let whole = sandbar_llm::decode_events(&[stream]);
    let pieces: Vec<&[u8]> = stream.chunks(size).collect();
    assert_eq!(sandbar_llm::decode_events(&pieces), whole);
    if let Some(events) = whole {
        let held: usize = events.iter().map(|(name, data)| name.len() + data.len()).sum();
        // A byte that isn't UTF-8 becomes a character of three.
        assert!(held <= stream.len() * 3);
        assert!(events.iter().all(|(name, _)| !name.contains(['\n', '\r'])));
    }
}
