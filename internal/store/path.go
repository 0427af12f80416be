package store

import (
	"fmt"
	"strings"
	"unicode"
)

// CheckPath refuses the path of a store that cannot be told to those who use it: what
// mounts overlay and what reads storage.conf take ":" and "," between paths, and "\" before
// a character that is meant as it is. Nor is there a character for controls. The error
// wraps ErrPrecondition.
func CheckPath(path string) error {
	i := strings.IndexFunc(path, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`:,\`, r) })
	if i < 0 {
		return nil
	}
	r := []rune(path[i:])[0]
	return fmt.Errorf("%w: the path of a store cannot have %q, which overlay mounts and storage.conf have no words for: %q", ErrPrecondition, string(r), path)
}
