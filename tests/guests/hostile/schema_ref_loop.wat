;; A schema that is defined by itself.
;; tool: {"name":"attack","description":"Refers to itself.","schema":"{\"type\":\"object\",\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}"}
