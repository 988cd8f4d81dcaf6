;; Calls itself for ever, without using memory of its own: only the stack of the machine.
(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))
(func (export "call") (type $call) (call $deep))
