;; Logs empty messages, for ever: they count, too.
(import "host" "write" (func $write (param i32 i32 i32)))
(func (export "call") (type $call)
  (loop $again (call $write (i32.const 3) (i32.const 0) (i32.const 0)) (br $again)) unreachable)
