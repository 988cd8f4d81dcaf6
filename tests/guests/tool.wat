;; What makes a component out of `hostile/<name>.wat`: what a core module needs to be a tool plugin. The file itself is the
;; beginning of `$m`; `host/torture/src/components.rs` puts them together.
  (core instance $described (instantiate $describing))
  (alias core export $described "memory" (core memory $described-memory))
  (alias core export $described "describe" (core func $describe-core))
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
    (canon lift (core func $describe-core) (memory $described-memory)))
  (func $call (param "name" string) (param "input" string) (param "context" $context)
    (result (result $output (error $error)))
    (canon lift (core func $call-core) (memory $memory) (realloc $realloc) POST-RETURN))
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
  (export "sandbar:plugin/tool@0.1.0" (instance $tool))
