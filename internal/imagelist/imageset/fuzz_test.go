package imageset

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzParse: any file is read in bounded memory, and refused with a reason or read.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../sources/testdata/imagesets/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(memtest.Repeat(1<<20, `{"apiVersion":"mirror.openshift.io/v2alpha1","kind":"ImageSetConfiguration","mirror":{"additionalImages":[`, `{},`, `{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, int64(len(data))*32+96<<20, func() {
			s, err := Parse(bytes.NewReader(data))
			switch {
			case err == nil:
				s.Blocked("quay.io/a/b:1")
			case !errors.Is(err, ErrImageSet) && !errors.Is(err, kubeobject.ErrObject):
				t.Errorf("an error of another kind: %v", err)
			}
		})
	})
}
