//! What `wit-bindgen` makes of `wit/`: the tool world here, the others in modules, all with the same shared types.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "tool-plugin",
    pub_export_macro: true,
    export_macro_name: "__export_tool_plugin",
    default_bindings_module: "sandbar_sdk::bindings",
    additional_derives: [PartialEq],
    generate_all,
});

pub mod pattern {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "pattern-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_pattern_plugin",
        default_bindings_module: "sandbar_sdk::bindings::pattern",
        additional_derives: [PartialEq],
        with: {
            "sandbar:plugin/types@0.1.0": crate::bindings::sandbar::plugin::types,
            "sandbar:plugin/log@0.1.0": crate::bindings::sandbar::plugin::log,
        },
        generate_all,
    });
}

pub mod memory {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "memory-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_memory_plugin",
        default_bindings_module: "sandbar_sdk::bindings::memory",
        additional_derives: [PartialEq],
        with: {
            "sandbar:plugin/types@0.1.0": crate::bindings::sandbar::plugin::types,
            "sandbar:plugin/log@0.1.0": crate::bindings::sandbar::plugin::log,
            "sandbar:plugin/kv@0.1.0": crate::bindings::sandbar::plugin::kv,
        },
        generate_all,
    });
}
