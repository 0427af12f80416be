package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// What is kept of a cluster is bounded for each kind of object, and one problem says that
// some of them were left out.
func TestKeptOfACluster(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	long := strings.Repeat("x", mib)
	for _, c := range []struct {
		name, object string // %d is its number, %s a text of 1 MiB
		kept         func(*Recorder) int
		most         int
		problem      string
	}{
		{
			"settings", `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"s%d"},"spec":{"x":"%s"}}`,
			func(r *Recorder) int { return len(r.settings["ImageStream.image.openshift.io"]) }, maxSettings, "the objects with settings have more than 32 MiB",
		},
		{
			"containers", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d"},"spec":{"containers":[{"name":"c","image":"quay.io/a/b:1","command":["%s"]}]}}`,
			func(r *Recorder) int { return len(r.containers) }, maxContainers, "the containers of all objects have more than 32 MiB",
		},
		{
			"configurations", `{"apiVersion":"machineconfiguration.openshift.io/v1","kind":"MachineConfig","metadata":{"name":"m%d"},` +
				`"spec":{"config":{"storage":{"files":[{"path":"/etc/containers/storage.conf","contents":{"source":"data:,%%23%.1000000s"}}]}}}}`,
			func(r *Recorder) int { return len(r.configs) }, maxContents, "the configuration files of all MachineConfigs have more than 32 MiB",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r Recorder
			given := c.most/mib + 10
			for i := range given {
				o, err := kubeobject.Parse(fmt.Appendf(nil, c.object, i, long), "", "")
				if err != nil {
					t.Fatal(err)
				}
				r.Add(o)
			}
			if kept := c.kept(&r); kept < c.most/mib-1 || kept >= given-5 {
				t.Errorf("%d of %d are kept, where %d MiB may be", kept, given, c.most/mib)
			}
			problems := r.Snapshot(nil).Problems
			if len(problems) != 1 || !strings.Contains(problems[0], c.problem) {
				t.Errorf("problems %.300q, want one with %q", problems, c.problem)
			}
		})
	}
}
