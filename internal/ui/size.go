package ui

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// ErrSize is wrapped by the errors of ParseBytes.
var ErrSize = errors.New("not a size")

// size is a number and a unit.
var size = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$`)

// powers of the unit's prefix.
const prefixes = "KMGTP"

// ParseBytes reads a size as people write it: 4GiB, 4.5 GB, 1000B, or a number of bytes.
// MB is 10^6 bytes and MiB is 2^20. A prefix alone, as in 4G, means either to different
// programs: the error names both.
func ParseBytes(s string) (int64, error) {
	m := size.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("%[2]q is %[1]w: want a number and a unit, as in 4GiB or 4GB", ErrSize, s)
	}
	number, unit := m[1], strings.ToUpper(m[2])
	if unit == "" || unit == "B" {
		return inBytes(s, number, 1)
	}
	power := 1 + strings.IndexByte(prefixes, unit[0])
	binary, decimal := math.Pow(1024, float64(power)), math.Pow(1000, float64(power))
	switch rest := unit[1:]; {
	case power == 0 || rest != "" && rest != "B" && rest != "IB":
		return 0, fmt.Errorf("%[2]q is %[1]w: unknown unit %[3]q: want B, KB, MB, GB, TB, or KiB, MiB, GiB, TiB", ErrSize, s, m[2])
	case rest == "B":
		return inBytes(s, number, decimal)
	case rest == "IB":
		return inBytes(s, number, binary)
	}
	small, err := inBytes(s, number, decimal)
	if err != nil {
		return 0, err
	}
	large, err := inBytes(s, number, binary)
	if err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%[2]q is %[1]w: say %[3]s%[4]cB (%[5]d bytes) or %[3]s%[4]ciB (%[6]d bytes)", ErrSize, s, number, unit[0], small, large)
}

// inBytes is number times unit, which s says.
func inBytes(s, number string, unit float64) (int64, error) {
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n <= math.MaxInt64/int64(unit) {
		return n * int64(unit), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if f *= unit; err != nil || f >= math.MaxInt64 {
		return 0, fmt.Errorf("%[2]q is %[1]w: it is too large", ErrSize, s)
	}
	return int64(f), nil
}
