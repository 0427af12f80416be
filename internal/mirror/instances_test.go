package mirror

import (
	"fmt"
	"strings"
	"testing"
)

// A list with thousands of platforms makes no error of thousands of words.
func TestNoInstanceIsShort(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"manifests":[`)
	for i := range 40_000 {
		fmt.Fprintf(&b, `{"digest":"sha256:%064x","platform":{"os":"os%d","architecture":"%s"}},`, i, i, strings.Repeat("a", 100))
	}
	b.WriteString(`{}]}`)
	_, err := selectInstances([]byte(b.String()), []string{"linux/amd64"})
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "and others") {
		t.Errorf("%.300v", err)
	}
}
