package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestManyNames plans more names than a store has room for, of one image and of several, and one
// name more than an image may have.
func TestManyNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		images, names, length int
		says                  string
	}{
		"of one image":  {1, 42_000, 225, "42001 names take at least"},
		"of several":    {10, 4_200, 225, "42010 names take at least"},
		"short ones":    {1, 90_000, 20, "90001 names take at least"},
		"one name more": {1, 10_000, 20, "it has 10001 names, at most 10000 are written"},
	} {
		src := storetest.NewSource(t, bundle.Expanded)
		for i := range c.images {
			img := src.Add(storetest.Image{Repository: fmt.Sprintf("quay.io/a/b%d", i), Labels: map[string]string{"i": fmt.Sprint(i)}})
			for j := range c.names {
				tag := fmt.Sprintf("%d-%d", i, j)
				repository := "quay.io/a/" + strings.Repeat("b", c.length-len("quay.io/a/:")-len(tag))
				img.Names = append(img.Names, repository+":"+tag)
			}
		}
		_, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
		if !errors.Is(err, store.ErrPrecondition) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
