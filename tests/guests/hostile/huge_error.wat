;; Fails with a message of 1 MiB.
(memory (export "memory") 32)
(data (i32.const 512) "\01\00\00\00" "\10\04\00\00" "\04\00\00\00" "\00\00\01\00" "\00\00\10\00")
(data (i32.const 1040) "huge")
(func (export "call") (type $call)
  (memory.fill (i32.const 0x10000) (i32.const 0x78) (i32.const 0x100000))
  (i32.const 512))
