;; Logs bytes that are no text.
(import "host" "write" (func $write (param i32 i32 i32)))
(data (i32.const 1100) "\ff\fe\80\c0")
(func (export "call") (type $call) (call $write (i32.const 0) (i32.const 1100) (i32.const 4)) (i32.const 512))
