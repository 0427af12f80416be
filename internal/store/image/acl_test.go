package image

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzParseACL: an access list of a layer, as the kernel has it.
func FuzzParseACL(f *testing.F) {
	const head = "\x02\x00\x00\x00"
	const entries = "\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	f.Add(head + entries)
	f.Add(head)
	f.Add("\x01\x00\x00\x00")
	f.Add(head + entries[:9])
	f.Add(string(memtest.Repeat(64<<10, head, "\x02\x00\x07\x00\x00\x00\x00\x00", "")))
	f.Fuzz(func(t *testing.T, value string) {
		memtest.Hold(t, 16*int64(len(value))+1<<20, func() {
			list, err := parseACL(value)
			if err != nil && list != nil || err == nil && len(list) > 0 && !list.valid() {
				t.Errorf("%q: %v, %v", value, list, err)
			}
		})
	})
}
