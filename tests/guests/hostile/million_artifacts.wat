;; Answers with 200,000 artifacts without name and content.
(memory (export "memory") 300)
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 548) "\00\00\01\00" "\40\0d\03\00")
(func (export "call") (type $call) (i32.const 512))
