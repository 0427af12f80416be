package rehearse

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCheckCRIO holds that a CRI-O whose pulls the cut does not hold is refused.
func TestCheckCRIO(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		cut   bool
	}{
		"none":     {nil, true},
		"empty":    {map[string]string{"crio.conf": "[crio.runtime]\nseparate_pull_cgroup = \"\"\n"}, true},
		"own":      {map[string]string{"crio.conf": "[crio.runtime]\nseparate_pull_cgroup = \"pod\"\n"}, false},
		"drop-in":  {map[string]string{"crio.conf": "", "crio.conf.d/10-a": "[crio.runtime]\nseparate_pull_cgroup = \"pull.slice\"\n", "crio.conf.d/20-b": "[crio]\nroot = \"/x\"\n"}, false},
		"put back": {map[string]string{"crio.conf": "[crio.runtime]\nseparate_pull_cgroup = \"pod\"\n", "crio.conf.d/10-a": "[crio.runtime]\nseparate_pull_cgroup = \"\"\n"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := openshift(t)
			for file, text := range tc.files {
				path := filepath.Join(n.Root, "etc/crio", file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			err := n.check(t.Context())
			if errors.Is(err, ErrPrecondition) == tc.cut || (err == nil) != tc.cut {
				t.Errorf("%v", err)
			}
		})
	}
}
