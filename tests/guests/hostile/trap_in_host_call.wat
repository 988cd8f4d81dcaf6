;; Makes the host trap in the middle of a call of its own; an instance that came back from that would answer `done`.
(import "host" "write" (func $write (param i32 i32 i32)))
(global $broken (mut i32) (i32.const 0))
(func (export "call") (type $call)
  (if (i32.eqz (global.get $broken)) (then
    (global.set $broken (i32.const 1))
    (call $write (i32.const 0) (i32.const 0x7fffff00) (i32.const 16))))
  (i32.const 512))
