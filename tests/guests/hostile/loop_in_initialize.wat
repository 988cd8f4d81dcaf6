;; Loops in the function that sets up a library, which is called while the component is started.
(func (export "call") (type $call) (i32.const 512))
;; component:
(core module $library (func (export "_initialize") (loop $again (br $again))))
(core instance $library (instantiate $library))
(core module $starter (import "library" "_initialize" (func $initialize)) (start $initialize))
(core instance (instantiate $starter (with "library" (instance $library))))
