// Package result has what commands print: one JSON document each, which is an
// interface (docs/json.md is written from its types), and the same for people. What is
// shown was made elsewhere; nothing here changes anything.
package result
