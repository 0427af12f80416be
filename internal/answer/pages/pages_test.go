package pages

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestReadOnly(t *testing.T) {
	t.Parallel()
	const program = "/usr/bin/program"
	for _, test := range []struct {
		line     string
		from, to uintptr
		ok       bool
	}{
		{"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/program", 0x400000, 0x452000, true},
		{"00452000-00462000 r--p 00052000 08:02 173521      /usr/bin/program", 0x452000, 0x462000, true},
		{"00462000-00482000 rw-p 00062000 08:02 173521      /usr/bin/program", 0, 0, false},
		{"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/another", 0, 0, false},
		{"7ffd0-7ffd1 r-xp 00000000 00:00 0      [vdso]", 0, 0, false},
		{"zz-00452000 r-xp 00000000 08:02 173521      /usr/bin/program", 0, 0, false},
		{"00452000-00400000 r-xp 00000000 08:02 173521      /usr/bin/program", 0x452000, 0x400000, false},
		{"", 0, 0, false},
	} {
		from, to, ok := readOnly(test.line, program)
		if ok != test.ok || ok && (from != test.from || to != test.to) {
			t.Errorf("%q: %x-%x %v", test.line, from, to, ok)
		}
	}
}

// TestDrop holds that the program runs on, with less of it resident.
func TestDrop(t *testing.T) {
	before := resident(t)
	if err := Drop(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); after > before {
		t.Errorf("%d KiB of files are resident, before %d KiB", after, before)
	}
}

func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssFile:" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssFile")
	return 0
}
