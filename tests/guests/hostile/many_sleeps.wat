;; Waits a millisecond, for ever.
(import "host" "sleep" (func $sleep (param i64) (result i32)))
(import "host" "block" (func $block (param i32)))
(import "host" "drop-pollable" (func $drop (param i32)))
(func (export "call") (type $call)
  (local $one i32)
  (loop $again
    (local.set $one (call $sleep (i64.const 1000000)))
    (call $block (local.get $one))
    (call $drop (local.get $one))
    (br $again))
  unreachable)
