package bundle_test

import (
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0a", 32)
	for name, ok := range map[string]bool{
		"quay.io/team/app:1.2":                                    true,
		"quay.io/team/app@sha256:" + hex:                          true,
		"quay.io/team/app:1.2@sha256:" + hex:                      true,
		"localhost:5000/app":                                      true,
		"localhost:5000/app:sha256-x":                             true,
		"quay.io/team/app:release-sha256-" + hex:                  true,
		"quay.io/a\nOK: 999 images":                               false,
		"quay.io/a\x1b[2J":                                        false,
		"quay.io/\u202ea":                                         false,
		"quay.io/a b":                                             false,
		"quay.io/" + strings.Repeat("a", 1024):                    false,
		"":                                                        false,
		"quay.io/team/app:sha256-" + hex + ".sig":                 false,
		"quay.io/team/app:sha256-" + hex + ".att":                 false,
		"quay.io/team/app:sha256-" + hex:                          false, // the index of referrers
		"localhost:5000/app:sha256-" + hex + ".sig@sha256:" + hex: false,
	} {
		if err := bundle.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
