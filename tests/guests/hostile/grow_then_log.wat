;; Takes 16 MiB of memory, and hands the host as much of it as it takes, again and again.
(import "host" "write" (func $write (param i32 i32 i32)))
(func (export "call") (type $call)
  (drop (memory.grow (i32.const 256)))
  (loop $again (call $write (i32.const 0) (i32.const 0) (i32.const 0x700000)) (br $again)) unreachable)
