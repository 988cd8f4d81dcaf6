;; Answers with an artifact whose name leads out of any directory.
(data (i32.const 512) "\00\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 548) "\58\02\00\00" "\01\00\00\00")
(data (i32.const 600) "\10\04\00\00" "\0e\00\00\00" "\00\04\00\00" "\04\00\00\00" "\00\04\00\00" "\04\00\00\00")
(data (i32.const 1040) "../stolen.txt\00")
(func (export "call") (type $call) (i32.const 512))
