;; Asks for 64 KiB of random bytes, and answers `done` if it got them: the other side of `random_huge`.
(import "host" "random" (func $random (param i64 i32)))
(func (export "call") (type $call)
  (call $random (i64.const 65536) (i32.const 2048))
  ;; The list is described at 2048: its place, then its length.
  (if (i32.ne (i32.load (i32.const 2052)) (i32.const 65536)) (then unreachable))
  (i32.const 512))
