//! Takes memory until it gets no more, then goes on asking.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("allocate", allocate)]
}

fn allocate(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    let mut size = 16 * 1024 * 1024;
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(size).is_ok() && hoard.try_reserve(1).is_ok() {
            block.resize(size, 0xA5);
            hoard.push(std::hint::black_box(block));
        } else {
            size = (size / 2).max(64);
        }
    }
}
