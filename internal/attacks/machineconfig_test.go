//go:build attacks

package attacks

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
)

// machineConfig makes a MachineConfig that a pool uses, with n files:
// each begins with start and has each many times, to a length, behind gzip.
func machineConfig(t *testing.T, n int, name, start, each string, size int) string {
	t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	must(t, err)
	_, err = io.Copy(z, io.MultiReader(strings.NewReader(start), &repeated{each: each, left: size / len(each) * len(each)}))
	must(t, err)
	must(t, z.Close())
	var b strings.Builder
	b.WriteString(`{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","metadata":{"name":"99-x"},"spec":{"config":{"storage":{"files":[`)
	for i := range n {
		fmt.Fprintf(&b, `{"path":%q,"contents":{"compression":"gzip","source":"data:;base64,%s"}},`, fmt.Sprintf(name, i),
			base64.StdEncoding.EncodeToString(packed.Bytes()))
	}
	b.WriteString(`{}]}}}}{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfigPool",` +
		`"metadata":{"name":"worker"},"spec":{"configuration":{"name":"99-x"}}}`)
	return b.String()
}

// TestMachineConfigBombs audits MachineConfigs whose files are short and become long.
func TestMachineConfigBombs(t *testing.T) {
	const storage, pod = "/etc/containers/storage.conf%.0d", "/etc/kubernetes/manifests/a.yaml%.0d"
	for _, c := range []struct {
		name, before, file, start, each string
		files, size, exit               int
	}{
		{"100 files that gzip makes short", "10 GB with 400, out of memory", "/etc/%d", "", "a", 100, 15 << 20, 3},
		{"TOML with 15 million brackets", "the stack overflows", storage, "a = ", "[", 1, 15 << 20, 0},
		{"TOML with a key of 65,536 parts", "7 GB, out of memory", storage, "a", ".a", 1, 2 << 16, 0},
		{"TOML with 2 million tables", "0.5 GB", storage, "", "[[a]]\n", 1, 12 << 20, 0},
		{"YAML with 5 million values", "1.1 GB", pod, "kind: Pod\na:\n", "- \n", 1, 15 << 20, 0},
	} {
		objects := write(t, "objects.json", machineConfig(t, c.files, c.file, c.start, c.each, c.size))
		attack{Name: "bombs: a MachineConfig: " + c.name, Before: c.before, Exit: c.exit}.run(t, "audit", "--objects", objects)
	}
}
