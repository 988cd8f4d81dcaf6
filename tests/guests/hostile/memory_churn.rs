//! Takes and gives back memory without end, touching all of it.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("churn", churn)]
}

fn churn(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut seed: usize = 1;
    loop {
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(1024 + seed % (8 * 1024 * 1024)).is_ok() {
            block.resize(block.capacity(), 1);
        }
        std::hint::black_box(block);
    }
}
