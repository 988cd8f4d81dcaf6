;; Waits for the same thing a million times at once.
(import "host" "sleep" (func $sleep (param i64) (result i32)))
(import "host" "poll" (func $poll (param i32 i32 i32)))
(func (export "call") (type $call)
  (local $one i32) (local $at i32)
  (local.set $one (call $sleep (i64.const -1)))
  (drop (memory.grow (i32.const 80)))
  (local.set $at (i32.const 0x10000))
  (loop $next
    (i32.store (local.get $at) (local.get $one))
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 4065536))))
  (call $poll (i32.const 0x10000) (i32.const 1000000) (i32.const 2048))
  (i32.const 512))
