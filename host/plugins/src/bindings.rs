//! The host's side of `wit/`, generated.

pub(crate) mod tool {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "tool-plugin",
        imports: { "sandbar:plugin/kv": async, "sandbar:plugin/http": async },
        exports: { default: async },
    });
}

pub(crate) mod pattern {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "pattern-plugin",
        exports: { default: async },
        with: {
            "sandbar:plugin/log": super::tool::sandbar::plugin::log,
            "sandbar:plugin/types": super::tool::sandbar::plugin::types,
        },
    });
}

pub(crate) mod memory {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "memory-plugin",
        exports: { default: async },
        with: {
            "sandbar:plugin/kv": super::tool::sandbar::plugin::kv,
            "sandbar:plugin/log": super::tool::sandbar::plugin::log,
            "sandbar:plugin/types": super::tool::sandbar::plugin::types,
        },
    });
}
