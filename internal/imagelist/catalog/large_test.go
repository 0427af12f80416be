package catalog

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// TestLargeCatalog: a catalog of the size of OpenShift's takes memory for one of its bundles and for what is kept, not for
// all of it. NODESEAL_CATALOG_MIB makes it larger.
func TestLargeCatalog(t *testing.T) {
	mib := 12
	if n, err := strconv.Atoi(os.Getenv("NODESEAL_CATALOG_MIB")); err == nil {
		mib = n
	}
	related := strings.Repeat(`{"name":"x","image":"registry.example.com/acme/operator-with-a-long-name@sha256:0000000000000000000000000000000000000000000000000000000000000000"},`, 40)
	manifests := strings.Repeat("eyJhcGlWZXJzaW9uIjoidjEifQ", 3<<10)
	pr, pw := io.Pipe()
	defer pr.Close()
	go func() {
		for i, size := 0, 0; size < mib<<20; i++ {
			n, err := fmt.Fprintf(pw, `{"schema":"olm.bundle","package":"p%d","name":"p%d.v%d","image":"registry.example.com/acme/bundle:%d","relatedImages":[%s{}],"properties":[{"type":"olm.package","value":{"version":"1.0.%d"}},{"type":"olm.bundle.object","value":{"data":"%s"}}]}`,
				i%200, i%200, i, i, related, i, manifests)
			if err != nil {
				return
			}
			size += n
		}
		_ = pw.Close()
	}()
	var c Catalog
	memtest.Hold(t, 96<<20, func() {
		if err := c.ReadJSON(pr); err != nil {
			t.Error(err)
		}
	})
	if n := len(c.packages["p7"].bundles); n == 0 {
		t.Error("no bundle was kept")
	}
}
