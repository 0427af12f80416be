package storageconf

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzCRIO: a file of CRI-O's that is refused changes nothing of what is known of the storage.
func FuzzCRIO(f *testing.F) {
	f.Add([]byte("[crio]\nroot = \"/g\"\nstorage_driver = \"overlay\"\nstorage_option = [\"overlay.imagestore=/a,/b\"]\n"))
	f.Add([]byte("[crio]\nroot = 1\n"))
	f.Add([]byte("crio = 1\n"))
	f.Add(memtest.Repeat(1<<20, "[crio]\nstorage_option = [\"\"", `,""`, "]\n"))
	f.Add(memtest.Repeat(1<<20, "[crio]\nstorage_option = [\"imagestore=", `,`, "\"]\n"))
	f.Add(memtest.Repeat(256<<10, "a", ".a", " = 1\n"))
	path := filepath.Join(f.TempDir(), "crio.conf")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 128*int64(len(data))+32<<20, func() {
			var v View
			if err := v.addCRIO(path); err != nil && !reflect.DeepEqual(v, View{}) {
				t.Errorf("%q is refused, and gives %+v", data, v)
			}
		})
	})
}
