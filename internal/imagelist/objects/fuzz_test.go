package objects_test

import (
	"errors"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// Whatever an object says, the collector neither panics nor keeps a reference
// that is none.
func FuzzExtract(f *testing.F) {
	for _, kind := range []string{"Node", "ClusterVersion", "MachineConfig", "ImageStream"} {
		f.Add([]byte(`{"apiVersion":"v1","kind":"` + kind + `","metadata":{"name":"x"},"spec":{},"status":null}`))
	}
	f.Add([]byte(`{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","spec":{"config":{"storage":{"files":[` +
		`{"path":"/etc/kubernetes/manifests/x","contents":{"source":"data:;base64,eA==","compression":"gzip"}}]}}}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"ConfigMap","data":{"x":"quay.io/a/b` + sum + `"}}`))
	f.Add([]byte(`{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","spec":{"config":{"storage":{"files":[` +
		`{"path":"/etc/kubernetes/manifests/x","contents":{"source":"data:,` + string(memtest.Repeat(64<<10, "a:%0a", "-%20%0a", "")) + `"}}]}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		memtest.Hold(t, 64*int64(len(raw))+96<<20, func() {
			if o, err := kubeobject.Parse(raw, "", ""); err == nil {
				_, _ = objects.Extract(o)
			}
		})
		o, err := kubeobject.Parse(raw, "", "")
		if err != nil {
			if !errors.Is(err, kubeobject.ErrObject) {
				t.Fatal(err)
			}
			return
		}
		if _, err := objects.Extract(o); err != nil && !errors.Is(err, kubeobject.ErrObject) {
			t.Fatal(err)
		}
		var c objects.Collector
		c.Add(o)
		c.Result()
	})
}
