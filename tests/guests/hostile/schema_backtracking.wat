;; A regular expression that takes other engines for ever on a long text.
;; tool: {"name":"attack","description":"Wants a text.","schema":"{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"pattern\":\"^(a+)+$\"}}}"}
