;; Fails with a code and a message that would take over a terminal: escape sequences, a turned direction, a window title.
(data (i32.const 512) "\01\00\00\00" "\10\04\00\00" "\08\00\00\00" "\20\04\00\00" "\15\00\00\00")
(data (i32.const 1040) "\1b[2Jred!")
(data (i32.const 1056) "\1b[31mno\e2\80\ae on\1b]0;x\07")
(func (export "call") (type $call) (i32.const 512))
