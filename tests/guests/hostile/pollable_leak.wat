;; Starts waiting for ever, and never ends it: each is a handle in the host.
(import "host" "sleep" (func $sleep (param i64) (result i32)))
(func (export "call") (type $call) (loop $again (drop (call $sleep (i64.const -1))) (br $again)) unreachable)
