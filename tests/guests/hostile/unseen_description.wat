;; Says in its description what a person doesn't see: escape sequences, turned directions, characters without width, tags.
;; tool: {"name":"attack","description":"Adds\u001b[8m numbers\u202e.\u200b\ufeff\udb40\udc69\udb40\udc67\u2066","schema":"{\"type\":\"object\"}"}
