;; Loops in `realloc`, which the host calls to hand over the arguments.
(func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)
(func (export "call") (type $call) (i32.const 512))
