package slot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzState: what is remembered of slots is read whatever somebody made of it, and what is
// damaged is as good as none.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"a":{"id":"sha256:x","filled":"2026-01-02T03:04:05Z","boot":"b","verified":"2026-01-02T03:04:05Z","damage":1}}`))
	f.Add([]byte(`{"a":null,"b":[]}`))
	f.Add([]byte(`{"a":{"filled":"x"}}`))
	f.Add(memtest.Repeat(maxState, `{`, `"":{},`, `"a":{}}`))
	f.Add(memtest.Repeat(maxState, "", "[", ""))
	r := &Root{dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(r.statePath(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			state, err := r.readState()
			if err != nil || state == nil {
				t.Errorf("%v, %v", state, err)
			}
		})
	})
}

// FuzzMounts: mountinfo has names that containers choose.
func FuzzMounts(f *testing.F) {
	const overlay = "36 35 0:50 / /merged rw,relatime - overlay overlay rw,lowerdir=/s/overlay/l/A:/s/overlay/l/B,upperdir=/s/overlay/x/diff,workdir=/w\n"
	f.Add([]byte(overlay))
	f.Add([]byte("36 35 0:50 / /a\\040b rw - overlay overlay rw,lowerdir+=/a\\134,datadir+=,upperdir=diff,,=\n"))
	f.Add([]byte(" - overlay\n - \n36 35 98:0 / / rw - overlay\n"))
	f.Add(memtest.Repeat(512<<10, "36 35 0:50 / / rw - overlay overlay lowerdir=", ":", "\n"))
	f.Add(memtest.Repeat(512<<10, "36 35 0:50 / / rw - overlay overlay ", "lowerdir+=,", "\n"))
	f.Add(memtest.Repeat(2<<20, "", "a", "\n"))
	path := filepath.Join(f.TempDir(), "mountinfo")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 64*int64(len(data))+8<<20, func() {
			found, err := readMounts(path)
			if err != nil && found != nil {
				t.Errorf("%d mounts, %v", len(found), err)
			}
		})
	})
}

// FuzzKept: the list of the mounts that an old store is kept for is read whatever somebody made
// of it: its mounts, or an error.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`["a","b"]`))
	f.Add([]byte(`["a",1]`))
	f.Add([]byte(`{"a":[]}`))
	f.Add(memtest.Repeat(1<<20, `["a"`, `,""`, `]`))
	f.Add(memtest.Repeat(maxKept, `["a"`, `,"`+strings.Repeat("a", 64)+`"`, `]`))
	f.Add(memtest.Repeat(maxKept+1, "", " ", "[]"))
	f.Add(memtest.Repeat(1<<20, "", "[", ""))
	path := filepath.Join(f.TempDir(), "kept-a-x.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			mounts, err, rerr := readKept(path)
			if rerr != nil || err == nil && (len(data) > maxKept || !json.Valid(data)) || err != nil && mounts != nil {
				t.Errorf("%d bytes: %d mounts, %v, %v", len(data), len(mounts), err, rerr)
			}
		})
	})
}
