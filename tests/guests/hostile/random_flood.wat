;; Asks for random bytes, for ever.
(import "host" "random" (func $random (param i64 i32)))
(func (export "call") (type $call) (loop $again (call $random (i64.const 4096) (i32.const 2048)) (br $again)) unreachable)
