;; Answers with structured content that is neither there nor not there.
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00" "\09\00\00\00")
(func (export "call") (type $call) (i32.const 512))
