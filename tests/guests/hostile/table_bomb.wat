;; A tool that makes its table longer until it is refused, and then answers how many elements it has, in six digits.
(component
  (core module $m
    (memory (export "memory") 1)
    ;; The list of one tool: where the specification is, and how many there are.
    (data (i32.const 16) "\00\01\00\00" "\01\00\00\00")
    ;; The specification: name, description and schema, each as place and length; no output schema, no annotations.
    (data (i32.const 256) "\00\04\00\00" "\06\00\00\00" "\06\04\00\00" "\0e\00\00\00" "\14\04\00\00" "\11\00\00\00")
    (data (i32.const 1024) "answerGrows a table." "{\22type\22:\22object\22}")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
    (func (export "describe") (result i32) (i32.const 16))
    ;; The result: `ok`, then the text as place and length; nothing else.
    (data (i32.const 512) "\00\00\00\00" "\00\08\00\00" "\06\00\00\00")
    (table $t 1 funcref)
    (func (export "call")
      (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      (local $left i32) (local $digit i32)
      ;; In great steps first, then one by one up to the last that it gets.
      (loop $again
        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1))))
      (loop $again
        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))))
      (local.set $left (table.size $t))
      (local.set $digit (i32.const 2053))
      (loop $again
        (i32.store8 (local.get $digit) (i32.add (i32.const 48) (i32.rem_u (local.get $left) (i32.const 10))))
        (local.set $left (i32.div_u (local.get $left) (i32.const 10)))
        (local.set $digit (i32.sub (local.get $digit) (i32.const 1)))
        (br_if $again (i32.ge_u (local.get $digit) (i32.const 2048))))
      (i32.const 512)))

  ;; From here on it is the same in each of these files: the interface `sandbar:plugin/tool`.
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "describe" (core func $describe-core))
  (alias core export $i "call" (core func $call-core))
  (type $annotations (list (tuple string string)))
  (type $error (record
    (field "code" string) (field "message" string) (field "hint" (option string)) (field "annotations" $annotations)))
  (type $artifact (record (field "name" string) (field "media-type" string) (field "content" (list u8))))
  (type $spec (record
    (field "name" string) (field "description" string) (field "input-schema" string)
    (field "output-schema" (option string)) (field "annotations" $annotations)))
  (type $context (record
    (field "session" string) (field "run" string) (field "call" string) (field "config" string)
    (field "annotations" $annotations)))
  (type $output (record
    (field "text" string) (field "structured" (option string)) (field "user-text" (option string))
    (field "artifacts" (list $artifact)) (field "annotations" $annotations)))
  (func $describe (result (list $spec))
    (canon lift (core func $describe-core) (memory $memory)))
  (func $call (param "name" string) (param "input" string) (param "context" $context)
    (result (result $output (error $error)))
    (canon lift (core func $call-core) (memory $memory) (realloc $realloc)))
  ;; Exported functions may speak only of types that have a name: this inner component gives them one.
  (component $named
    (import "e" (type $e (eq $error)))
    (import "a" (type $a (eq $artifact)))
    (import "s" (type $s (eq $spec)))
    (import "c" (type $c (eq $context)))
    (type $output (record
      (field "text" string) (field "structured" (option string)) (field "user-text" (option string))
      (field "artifacts" (list $a)) (field "annotations" $annotations)))
    (import "o" (type $o (eq $output)))
    (import "describe-in" (func $describe (result (list $s))))
    (import "call-in" (func $call
      (param "name" string) (param "input" string) (param "context" $c) (result (result $o (error $e)))))
    (export $error-out "error" (type $e))
    (export $artifact-out "artifact" (type $a))
    (export $spec-out "tool-spec" (type $s))
    (export $context-out "call-context" (type $c))
    (type $output-named (record
      (field "text" string) (field "structured" (option string)) (field "user-text" (option string))
      (field "artifacts" (list $artifact-out)) (field "annotations" $annotations)))
    (export $output-out "tool-output" (type $output-named))
    (export "describe" (func $describe) (func (result (list $spec-out))))
    (export "call" (func $call) (func
      (param "name" string) (param "input" string) (param "context" $context-out)
      (result (result $output-out (error $error-out))))))
  (instance $tool (instantiate $named
    (with "e" (type $error)) (with "a" (type $artifact)) (with "s" (type $spec)) (with "c" (type $context))
    (with "o" (type $output)) (with "describe-in" (func $describe)) (with "call-in" (func $call))))
  (export "sandbar:plugin/tool@0.1.0" (instance $tool)))
