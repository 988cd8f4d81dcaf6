;; Takes the arguments where it has no memory.
(func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x7fffff00))
(func (export "call") (type $call) (i32.const 512))
