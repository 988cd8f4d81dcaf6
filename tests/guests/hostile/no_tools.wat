;; A tool plugin without a tool.
;; tools: none
