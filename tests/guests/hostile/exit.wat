;; Ends the program that it runs in, successfully.
(import "host" "exit" (func $exit (param i32)))
(func (export "call") (type $call) (call $exit (i32.const 0)) (i32.const 512))
