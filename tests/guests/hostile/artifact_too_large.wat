;; Answers with an artifact that is a byte over the limit.
(memory (export "memory") 70)
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 548) "\58\02\00\00" "\01\00\00\00")
(data (i32.const 600) "\00\04\00\00" "\04\00\00\00" "\00\04\00\00" "\04\00\00\00" "\00\00\01\00" "\01\00\40\00")
(func (export "call") (type $call) (i32.const 512))
