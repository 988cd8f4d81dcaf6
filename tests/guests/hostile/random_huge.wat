;; Asks for a byte more than 64 KiB of random bytes. There is room for them: only the host's limit is in the way.
(import "host" "random" (func $random (param i64 i32)))
(func (export "call") (type $call) (call $random (i64.const 65537) (i32.const 2048)) (i32.const 512))
