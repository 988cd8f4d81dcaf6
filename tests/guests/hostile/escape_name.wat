;; A tool whose name would take over a terminal.
;; tool: {"name":"\u001b[31mred","description":"Is red.","schema":"{\"type\":\"object\"}"}
