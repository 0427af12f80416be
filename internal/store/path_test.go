package store_test

import (
	"errors"
	"testing"

	"github.com/nodeseal/nodeseal/internal/store"
)

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"/var/lib/shared/nodeseal/a": true, "/a store/ä": true, `/a"b'c`: true,
		"/a:b": false, "/a/b,c/d": false, `/a\b`: false, "/a\nb": false, "/a\x7f": false,
	} {
		if err := store.CheckPath(path); (err == nil) != ok || (err != nil && !errors.Is(err, store.ErrPrecondition)) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
