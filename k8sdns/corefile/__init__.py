"""The Corefile: text → words → server blocks → typed settings.

Read in the order of the work: `lexer`, `environment`, `imports`, `parser`, `zones`; then what
directives are written with: `kinds`, `settings`, `reading`, `syntax`, `directive`; `order` and
`dump` stand alone.
"""
