;; Says that its result is at an odd address.
(func (export "call") (type $call) (i32.const 513))
