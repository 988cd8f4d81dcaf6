;; Has a resource of its own whose destructor loops.
(import "own" "new" (func $new (param i32) (result i32)))
(import "own" "drop" (func $drop (param i32)))
(func (export "call") (type $call) (call $drop (call $new (i32.const 7))) (i32.const 512))
;; component:
(core module $destroyer (func (export "destroy") (param i32) (loop $again (br $again))))
(core instance $destroyer (instantiate $destroyer))
(alias core export $destroyer "destroy" (core func $destroy))
(type $thing (resource (rep i32) (dtor (core func $destroy))))
(core func $new (canon resource.new $thing))
(core func $drop (canon resource.drop $thing))
(core instance $own (export "new" (func $new)) (export "drop" (func $drop)))
