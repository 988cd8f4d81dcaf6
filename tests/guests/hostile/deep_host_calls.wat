;; Calls itself for ever, and the host from every level: the host's functions run where the guest left little stack.
(import "host" "now" (func $now (result i64)))
(func $deep (result i32) (drop (call $now)) (i32.add (call $deep) (i32.const 1)))
(func (export "call") (type $call) (call $deep))
