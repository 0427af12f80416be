package release

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// TestRefused holds that a release without a time, or whose version or platform could name
// another file, is refused before anything is built.
func TestRefused(t *testing.T) {
	t.Parallel()
	when := time.Unix(1, 0)
	for name, o := range map[string]Options{
		"no version":        {Time: when},
		"version of a path": {Time: when, Version: "v1/../../x"},
		"version with a /":  {Time: when, Version: "a/b"},
		"no time":           {Version: "v1.0.0"},
		"another system":    {Time: when, Version: "v1.0.0", Platforms: []string{"windows/amd64"}},
		"no architecture":   {Time: when, Version: "v1.0.0", Platforms: []string{"linux/"}},
		"a path":            {Time: when, Version: "v1.0.0", Platforms: []string{"linux/../../x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Out = filepath.Join(t.TempDir(), "out")
			if err := Make(t.Context(), o); err == nil {
				t.Error("it was made")
			}
			if files, err := os.ReadDir(o.Out); err == nil && len(files) > 0 {
				t.Errorf("%d files were made", len(files))
			}
		})
	}
}

// TestBill holds that a bill names each module of a binary with its version and sum, a
// replaced one as what replaced it, and is the same twice.
func TestBill(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Main: debug.Module{Path: "github.com/nodeseal/nodeseal", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v0.1.0", Sum: "h1:sum-of-a="},
			{Path: "example.com/b", Version: "v0.2.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v0.3.0", Sum: "h1:sum-of-fork="}},
		},
	}
	o := Options{Version: "v1.2.3+x", Time: time.Unix(1_000_000_000, 0)}
	sum := strings.Repeat("0a", 32)
	text := func() string {
		var out bytes.Buffer
		err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).EncodeVersion(o.bill(binary{name: "b"}, info, sum), cyclonedx.SpecVersion1_6)
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	one := text()
	if two := text(); one != two {
		t.Errorf("two bills of one binary:\n%s\n%s", one, two)
	}
	for _, want := range []string{
		`"purl":"pkg:golang/github.com/nodeseal/nodeseal@v1.2.3%2Bx"`, `"timestamp":"2001-09-09T01:46:40Z"`,
		`"name":"example.com/a","version":"v0.1.0"`, `"value":"h1:sum-of-a="`, `"name":"example.com/fork","version":"v0.3.0"`,
		`"name":"std","version":"1.26.8"`, `["std","example.com/a","example.com/fork"]`, sum,
	} {
		if !strings.Contains(one, want) {
			t.Errorf("the bill has no %s:\n%s", want, one)
		}
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(serial(sum)) {
		t.Errorf("serial %s", serial(sum))
	}
}

// TestTree holds that an archive follows from names and contents: not from modes, times
// or the order in which files were made.
func TestTree(t *testing.T) {
	t.Parallel()
	archive := func(names []string, mode os.FileMode) []byte {
		dir := t.TempDir()
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), mode|0o100); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(name), mode); err != nil {
				t.Fatal(err)
			}
		}
		members, err := tree(dir, "share")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := writeTar(&out, time.Unix(5, 7), members); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	one, two := archive([]string{"a/b", "a/c", "d"}, 0o644), archive([]string{"d", "a/c", "a/b"}, 0o600)
	if !bytes.Equal(one, two) {
		t.Error("two archives of the same files differ")
	}
}

// TestShorterFile holds that an archive of a file that shrinks is an error.
func TestShorterFile(t *testing.T) {
	t.Parallel()
	members := []entry{{name: "a", mode: 0o644, size: 5, open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("1234")), nil
	}}}
	if err := writeTar(io.Discard, time.Unix(5, 0), members); err == nil {
		t.Error("it was written")
	}
}
