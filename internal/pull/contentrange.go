package pull

import (
	"fmt"
	"strconv"
	"strings"
)

// parseContentRange reads the header of a 206 answer (RFC 9110, section 14.4):
// the first byte's position, and the whole length or -1 where it is not said.
func parseContentRange(value string) (first, total int64, err error) {
	bad := fmt.Errorf("content range %q is not valid: %w", oneLine(value), ErrSize)
	spec, ok := strings.CutPrefix(value, "bytes ")
	if !ok {
		return 0, 0, bad
	}
	extent, length, ok := strings.Cut(spec, "/")
	if !ok {
		return 0, 0, bad
	}
	from, to, ok := strings.Cut(extent, "-")
	if !ok {
		return 0, 0, bad
	}
	first, err = position(from)
	if err != nil {
		return 0, 0, bad
	}
	last, err := position(to)
	if err != nil || last < first {
		return 0, 0, bad
	}
	if length == "*" {
		return first, -1, nil
	}
	total, err = position(length)
	if err != nil || last >= total {
		return 0, 0, bad
	}
	return first, total, nil
}

// position reads a number without a sign.
func position(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
