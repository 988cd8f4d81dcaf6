//! Components that are generated, because what makes them hostile is their size.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::components::{Described, assemble};

/// None: there is no bomb of that name.
pub(crate) fn build(name: &str) -> Option<Result<Vec<u8>>> {
    let text = match name {
        "many_functions" => plugin(&"(func)\n".repeat(200_000)),
        "many_locals" => plugin(&format!("(func (local {}))", "i64 ".repeat(40_000))),
        "long_function" => plugin(&format!("(func {})", "nop ".repeat((2 << 20) + 1))),
        "slow_function" => plugin(&slow(1_900_000)),
        "slow_functions" => plugin(&(0..12).map(|_| slow(300_000)).collect::<String>()),
        "locals_in_loops" => plugin(&(0..40).map(|_| locals_in_loop()).collect::<String>()),
        "deep_blocks" => plugin(&format!(
            "(func {} {})",
            "block ".repeat(200_000),
            "end ".repeat(200_000)
        )),
        "huge_br_table" => plugin(&format!(
            "(func (param i32) (block (br_table {} (local.get 0))))",
            "0 ".repeat(1_900_000)
        )),
        "many_types" => plugin(&many_types()),
        "many_segments" => plugin(&"(data (i32.const 2048) \"x\")\n".repeat(99_000)),
        "nested_components" => around(&format!("{}{}", "(component ".repeat(20), ")".repeat(20))),
        "nested_instances" => around(&nested_instances()),
        "many_tools" => assemble("", &(0..129).map(numbered).collect::<Vec<_>>()),
        "long_description" => assemble("", &[long_description()]),
        "huge_schema" => assemble(
            "",
            &[with_schema(format!(
                r#"{{"type":"object","title":"{}"}}"#,
                "x".repeat(70_000)
            ))],
        ),
        "deep_schema" => assemble("", &[with_schema(deep_schema())]),
        // A file may be larger than what anybody reads: it is refused by its size.
        "too_large" => return Some(Ok(vec![0; 65 << 20])),
        "precompiled" => return Some(Ok([b"\x7fELF\x02\x01\x01".as_slice(), &[0; 4096]].concat())),
        _ => return None,
    };
    Some(wat::parse_str(text).with_context(|| format!("the bomb `{name}` is no component")))
}

/// A tool plugin with more in its core module.
fn plugin(fields: &str) -> String {
    assemble(fields, &[Described::attack()])
}

/// A tool plugin with more in its component.
fn around(component: &str) -> String {
    assemble(&format!(";; component:\n{component}\n"), &[Described::attack()])
}

/// A function of about so many bytes of which nothing can be left out, and every block is one more for the compiler to order.
fn slow(bytes: usize) -> String {
    let unit =
        "(local.get 0) (i64.mul) (local.tee 0) (block (br_if 0 (i64.eqz (local.get 0)))) (local.get 0) (i64.add)\n";
    format!(
        "(func (param i64) (result i64) (local.get 0)\n{})\n",
        unit.repeat(bytes / 15)
    )
}

/// As many local variables as are allowed, all alive around a loop.
fn locals_in_loop() -> String {
    let count = 9_900;
    let mut body = format!("(func (param i64) (local {})\n(loop $again\n", "i64 ".repeat(count));
    for index in 1..=count {
        let _ = writeln!(
            body,
            "(local.set {index} (i64.add (local.get {index}) (local.get {})))",
            index - 1
        );
    }
    let _ = writeln!(body, "(br_if $again (i64.eqz (local.get {count})))))");
    body
}

/// No two are the same.
fn many_types() -> String {
    let mut types = String::new();
    for number in 0_u32..400_000 {
        let parameters: String = (0..20)
            .map(|bit| if number >> bit & 1 == 0 { "i32 " } else { "i64 " })
            .collect();
        let _ = writeln!(types, "(type (func (param {parameters})))");
    }
    types
}

/// Ten of ten of ten of ten.
fn nested_instances() -> String {
    let mut component = String::from("(component $c0 (core module $nothing) (core instance (instantiate $nothing)))\n");
    for level in 1..=4 {
        let inner = format!("(instance (instantiate $c{}))", level - 1).repeat(10);
        let _ = writeln!(component, "(component $c{level} {inner})");
    }
    component.push_str("(instance (instantiate $c4))\n");
    component
}

fn numbered(number: usize) -> Described {
    Described {
        name: format!("attack_{number}"),
        ..Described::attack()
    }
}

fn long_description() -> Described {
    Described {
        description: "x".repeat((4 << 10) + 1),
        ..Described::attack()
    }
}

fn with_schema(schema: String) -> Described {
    Described {
        schema,
        ..Described::attack()
    }
}

fn deep_schema() -> String {
    format!("{}{{}}{}", r#"{"properties":{"a":"#.repeat(40), "}}".repeat(40))
}
