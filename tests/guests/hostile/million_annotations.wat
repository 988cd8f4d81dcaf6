;; Answers with a million annotations: few bytes each in its own memory, many in the host's.
(memory (export "memory") 300)
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 556) "\00\00\01\00" "\40\42\0f\00")
(func (export "call") (type $call) (i32.const 512))
