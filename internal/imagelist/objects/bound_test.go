package objects

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// TestKept holds that what is kept of very many objects is bounded, whatever they have very many of,
// and that one problem says that some were left out.
func TestKept(t *testing.T) {
	t.Parallel()
	for name, object := range map[string]string{ // %[1]d is its number
		"pods":       `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%[1]d"},"spec":{"containers":[` + strings.Repeat(`{"name":"c","image":"quay.io/a/b%[1]d:1"},`, 300) + `{"image":"quay.io/a/b:1"}]}}`,
		"bad names":  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%[1]d"},"spec":{"containers":[` + strings.Repeat(`{"name":"c","image":"quay.io/A/b%[1]d:1"},`, 300) + `{"image":"quay.io/a/b:1"}]}}`,
		"no objects": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + strings.Repeat("p", 8<<10) + `%[1]d"},"spec":1}`,
		"mirrors": `{"apiVersion":"config.openshift.io/v1","kind":"ImageDigestMirrorSet","metadata":{"name":"m%[1]d"},"spec":{"imageDigestMirrors":[` +
			strings.Repeat(`{"source":"quay.io/%[1]d","mirrors":["a.example/b","c.example/d"]},`, 300) + `{"source":"quay.io/a","mirrors":["a.example/b"]}]}}`,
	} {
		c, n := Collector{kept: maxKept - 1<<20}, 0
		for ; !c.passed && n < 3_000; n++ {
			o, err := kubeobject.Parse(fmt.Appendf(nil, object, n), "", "")
			if err != nil {
				t.Fatal(name, err)
			}
			c.Add(o)
		}
		if !c.passed {
			t.Errorf("%s: %d objects are kept, in %d MiB", name, n, c.kept>>20)
		}
		if last := c.problems[len(c.problems)-1]; !strings.Contains(last.Error(), "others are not looked at") {
			t.Errorf("%s: %v", name, last)
		}
		before := len(c.problems) + len(c.found) + len(c.mirrors)
		o, err := kubeobject.Parse(fmt.Appendf(nil, object, n), "", "")
		if err != nil {
			t.Fatal(name, err)
		}
		c.Add(o)
		if after := len(c.problems) + len(c.found) + len(c.mirrors); after != before {
			t.Errorf("%s: more is kept, %d", name, after-before)
		}
	}
}
