;; Waits for as long as a clock can count.
(import "host" "sleep" (func $sleep (param i64) (result i32)))
(import "host" "block" (func $block (param i32)))
(func (export "call") (type $call) (call $block (call $sleep (i64.const -1))) (i32.const 512))
