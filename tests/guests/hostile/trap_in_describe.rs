//! Panics when it is asked what it is.

use sandbar_sdk::Tool;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    panic!("trapped in describe");
}
