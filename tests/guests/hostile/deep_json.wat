;; Structured content: 100,000 lists in each other.
(memory (export "memory") 4)
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00" "\01\00\00\00" "\00\00\01\00" "\a0\86\01\00")
(func (export "call") (type $call)
  (memory.fill (i32.const 0x10000) (i32.const 0x5b) (i32.const 100000))
  (i32.const 512))
