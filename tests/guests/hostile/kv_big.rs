//! Keeps a value that is larger than any may be, then as many of the largest as it may.

use sandbar_sdk::{Context, Error, NoInput, Tool, kv};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

/// The most that a value may have.
const LARGEST: usize = 64 << 10;

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    for bytes in [LARGEST + 1, 4 << 20] {
        match kv::set("large", vec![b'x'; bytes]) {
            Err(error) if error.code == "too-large" => {}
            _ => return Err(Error::new("kept", format!("{bytes} bytes"))),
        }
    }
    let value = vec![b'x'; LARGEST];
    for number in 0_u64.. {
        kv::set(&format!("value/{number}"), &value)?;
    }
    Ok("all is kept".to_owned())
}
