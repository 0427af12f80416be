package mirror

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// A list with thousands of platforms makes no error of thousands of words.
func TestNoInstanceIsShort(t *testing.T) {
	t.Parallel()
	list := make([]v1.Descriptor, 0, 40_001)
	for i := range 40_000 {
		list = append(list, v1.Descriptor{Platform: &v1.Platform{OS: fmt.Sprintf("os%d", i), Architecture: strings.Repeat("a", 100)}})
	}
	err := noInstance(append(list, v1.Descriptor{}), []string{"linux/amd64"})
	if len(err.Error()) > 2000 || !strings.Contains(err.Error(), "and others") {
		t.Errorf("%.300v", err)
	}
}

// TestSelectInstances: of each platform come the first entry, which the list's name
// means (in brackets), and all others of the very same platform.
func TestSelectInstances(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ list, platforms, want string }{
		{"a=linux/amd64 b=linux/arm64", "linux/amd64", "[a]"},
		{"a=linux/amd64 b=linux/arm64", "linux/arm64 linux/amd64", "[b] [a]"},
		{"a=linux/amd64 z=linux/amd64 b=linux/arm64", "linux/amd64", "[a] z"},
		{"z=linux/amd64 a=linux/amd64 a=linux/amd64", "linux/amd64", "[z] a"},
		{"b=linux/arm64/v9 c=linux/arm64/v8 d=linux/arm64/v8", "linux/arm64", "[c] d"},
		{"b=linux/amd64/v3 c=linux/amd64", "linux/amd64", "[c]"},
		{"b=linux/amd64/v3 c=linux/amd64", "linux/amd64/v3", "[b]"},
		{"b=linux/arm/v6 c=linux/arm/v7", "linux/arm", "[b]"},
		{"a=linux/s390x b=", "linux/amd64", ""},
		{"a=linux/amd64 sbom!=linux/amd64", "linux/amd64", "[a]"},
		{"a+=linux/amd64 z+=linux/amd64", "linux/amd64", "[a+] z+"},
	} {
		var list []v1.Descriptor
		for _, entry := range strings.Fields(c.list) {
			name, platform, _ := strings.Cut(entry, "=")
			d := v1.Descriptor{Digest: digest.Digest(name)}
			if strings.HasSuffix(name, "!") {
				d.ArtifactType = "text/spdx"
			}
			if strings.HasSuffix(name, "+") {
				d.ArtifactType = v1.MediaTypeImageConfig
			}
			if parts := strings.Split(platform+"//", "/"); platform != "" {
				d.Platform = &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
			}
			list = append(list, d)
		}
		var got []string
		for _, d := range selectInstances(list, strings.Fields(c.platforms)) {
			name := d.Digest.String()
			if d.first {
				name = "[" + name + "]"
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s for %s: %s, want %s", c.list, c.platforms, s, c.want)
		}
	}
}
