;; Wants 3.7 GiB before it does anything.
(memory (export "memory") 60000)
(func (export "call") (type $call) (i32.const 512))
