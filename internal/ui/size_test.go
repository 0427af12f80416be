package ui_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/ui"
)

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"0": 0, "12": 12, "12B": 12, "150MB": 150_000_000, "150 MiB": 150 << 20, "4GB": 4_000_000_000, "4GiB": 4 << 30,
		"1kB": 1000, "1kib": 1024, "1.5KiB": 1536, "1.5 GB": 1_500_000_000, "7PiB": 7 << 50, "9223372036854775807": 1<<63 - 1, " 2TB ": 2_000_000_000_000,
	} {
		if got, err := ui.ParseBytes(s); got != want || err != nil {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"150M": "say 150MB (150000000 bytes) or 150MiB (157286400 bytes)",
		"4g":   "say 4GB (4000000000 bytes) or 4GiB (4294967296 bytes)",
		"":     "want a number", "much": "want a number", "-1": "want a number", "1e3": "want a number", "3E": "unknown unit", "4GBit": "unknown unit", "1EB": "unknown unit",
		"9223372036854775808": "too large", "99999PiB": "too large", "1.2.3MB": "want a number",
	} {
		if got, err := ui.ParseBytes(s); !errors.Is(err, ui.ErrSize) || got != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %d, %v, want %q", s, got, err, want)
		}
	}
	// What is printed is read back, and means the same.
	for _, n := range []int64{0, 1000, 1536, 150 << 20, 3 << 30} {
		if got, err := ui.ParseBytes(ui.Bytes(n)); got != n || err != nil {
			t.Errorf("%s: %d, %v, want %d", ui.Bytes(n), got, err, n)
		}
	}
}
