;; Structured content that is no JSON.
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00" "\01\00\00\00" "\00\04\00\00" "\04\00\00\00")
(func (export "call") (type $call) (i32.const 512))
