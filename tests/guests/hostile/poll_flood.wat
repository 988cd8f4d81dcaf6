;; Waits for what is ready, for ever.
(import "host" "sleep" (func $sleep (param i64) (result i32)))
(import "host" "block" (func $block (param i32)))
(func (export "call") (type $call)
  (local $one i32)
  (local.set $one (call $sleep (i64.const 0)))
  (loop $again (call $block (local.get $one)) (br $again))
  unreachable)
