package imageset

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestMany: a file of very many channels is refused before its releases are made, and a repeated architecture is one.
func TestMany(t *testing.T) {
	t.Parallel()
	file := func(n int, archs string) string {
		var b strings.Builder
		b.WriteString(`{"apiVersion":"` + v2api + `","kind":"` + Kind + `","mirror":{"platform":{"architectures":[` + archs + `],"channels":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"name":"stable","minVersion":"4.1.%d","maxVersion":"4.1.%d"}`, i, i)
		}
		return b.String() + "]}}}"
	}
	if _, err := Parse(strings.NewReader(file(20_000, `"amd64","arm64","ppc64le","s390x","multi"`))); !errors.Is(err, ErrImageSet) || !strings.Contains(err.Error(), "more than 50000 things") {
		t.Errorf("100,000 releases: %v", err)
	}
	s, err := Parse(strings.NewReader(file(3, strings.Repeat(`"amd64",`, 1000)+`"arm64"`)))
	if err != nil || len(s.Releases) != 6 {
		t.Errorf("%+v, %v", s, err)
	}
}
