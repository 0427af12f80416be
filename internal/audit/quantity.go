package audit

import (
	"math"
	"strconv"
	"strings"
)

// quantity reads a Kubernetes quantity of bytes, and is 0 for what is none.
func quantity(s string) int64 {
	units := []struct {
		suffix string
		factor float64
	}{
		{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50},
		{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"", 1},
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || v < 0 || v*u.factor > math.MaxInt64/2 {
			return 0
		}
		return int64(v * u.factor)
	}
	return 0
}
