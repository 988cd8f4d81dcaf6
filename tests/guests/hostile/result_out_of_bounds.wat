;; Says that its result is where it has no memory.
(func (export "call") (type $call) (i32.const 0xfffffff0))
