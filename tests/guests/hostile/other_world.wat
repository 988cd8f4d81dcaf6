;; A component of another world: it exports an interface that Sandbar knows nothing of.
(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (alias core export $i "add" (core func $add-core))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $add-core)))
  (instance $adder (export "add" (func $add)))
  (export "acme:calc/adder@1.0.0" (instance $adder)))
