package objects_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
)

const sum = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func scan(text string) []string {
	var found []string
	objects.Scan(text, func(ref string) { found = append(found, ref) })
	return found
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"quay.io/a/b" + sum, "quay.io/a/b" + sum},
		{"--image=quay.io/a/b" + sum + " --x", "quay.io/a/b" + sum},
		{`{"image":"quay.io/a/b` + sum + `"}`, "quay.io/a/b" + sum},
		{"docker://quay.io/a/b" + sum, "quay.io/a/b" + sum},
		{"image:quay.io/a/b" + sum, "quay.io/a/b" + sum},
		{"x: registry:5000/a" + sum, "registry:5000/a" + sum},
		{"localhost:5055/a" + sum, "localhost:5055/a" + sum},
		{"quay.io/a/b:v1" + sum, "quay.io/a/b:v1" + sum},
		{"(quay.io/a/b" + sum + ")", "quay.io/a/b" + sum},
		{"nginx" + sum, ""},
		{"library/nginx" + sum, ""},
		{"quay.io/a/b" + sum + "0", ""},
		{"quay.io/a/b" + strings.ToUpper(sum), ""},
		{"quay.io/a/b" + sum[:70], ""},
		{sum, ""},
		{"quay.io" + sum, ""},
	} {
		if got := strings.Join(scan(c.text), " "); got != c.want {
			t.Errorf("%q: found %q, want %q", c.text, got, c.want)
		}
	}
	if got := scan("a.io/x" + sum + ",b.io/y" + sum); len(got) != 2 {
		t.Errorf("found %q, want two", got)
	}
}

// Whatever the text, what is found is a reference and stands in the text.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		"quay.io/a/b" + sum, "x=http://a.b:5000/c_d.e" + sum + "\n", "::::" + sum, "a.b/c" + sum + sum, "a:1/b:2/c.d" + sum,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, ref := range scan(text) {
			if !strings.Contains(text, ref) {
				t.Fatalf("%q is not in the text", ref)
			}
			if _, err := imagelist.Normalize(ref); err != nil {
				t.Fatal(err)
			}
		}
		for _, ref := range scan(" " + text + " ") {
			if !slices.Contains(scan(" "+text+" "), ref) {
				t.Fatal("not the same twice")
			}
		}
	})
}
