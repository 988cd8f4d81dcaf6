;; What the host offers, as core functions: for the files in `hostile` that import something of "host".
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
  (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (export "get-stdout" (func (result (own $output-stream))))))
  (import "sandbar:plugin/log@0.1.0" (instance $log
    (type $levels (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $levels)))
    (export "write" (func (param "level" $level) (param "message" string)))))
  (import "sandbar:plugin/progress@0.1.0" (instance $progress
    (export "report" (func (param "text" string)))))
  (core func $now (canon lower (func $clock "now")))
  (core func $sleep (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $poll-all (canon lower (func $poll "poll") (memory $memory) (realloc $realloc)))
  (core func $drop-pollable (canon resource.drop $pollable))
  (core func $random-bytes (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
  (core func $exit-core (canon lower (func $exit "exit")))
  (core func $stdout-core (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $log "write") (memory $memory)))
  (core func $report (canon lower (func $progress "report") (memory $memory)))
  (core instance $host
    (export "now" (func $now)) (export "sleep" (func $sleep)) (export "block" (func $block))
    (export "poll" (func $poll-all)) (export "drop-pollable" (func $drop-pollable))
    (export "random" (func $random-bytes)) (export "exit" (func $exit-core)) (export "stdout" (func $stdout-core))
    (export "write" (func $write)) (export "report" (func $report)))
