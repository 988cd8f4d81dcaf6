;; Answers with bytes that are no text.
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 1024) "\ff\fe\80\c0")
(func (export "call") (type $call) (i32.const 512))
