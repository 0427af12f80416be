package release

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// The files of the real release 4.12.0.
func TestRealRelease(t *testing.T) {
	t.Parallel()
	refs, err := ParseReferences(open(t, "image-references-4.12.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	if refs.Version != "4.12.0" || len(refs.Components) != 183 {
		t.Errorf("version %s with %d components, want 4.12.0 with 183", refs.Version, len(refs.Components))
	}
	names := make(map[string]string)
	for _, c := range refs.Components {
		names[c.Name] = c.Ref
		if !strings.HasPrefix(c.Ref, "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:") {
			t.Errorf("%s: %s", c.Name, c.Ref)
		}
	}
	for _, name := range []string{"pod", "must-gather", "tools", "cli", "rhel-coreos-8", "machine-config-operator"} {
		if names[name] == "" {
			t.Errorf("no component %s", name)
		}
	}
	meta, err := ParseMetadata(open(t, "release-metadata-4.12.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	if meta.Version != "4.12.0" || len(meta.Previous) != 21 || meta.Metadata.URL == "" {
		t.Errorf("metadata %+v", meta)
	}
	var l imagelist.List
	p := Payload{Version: refs.Version, Components: refs.Components}
	p.AddTo(&l, nil)
	if l.Len() != 183 || len(l.Unresolved()) != 0 {
		t.Errorf("%d references, %d of them not resolved; want 183 and none", l.Len(), len(l.Unresolved()))
	}
}

const sum = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func stream(tags string) string {
	return `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.99.0"},"spec":{"tags":[` + tags + `]}}`
}

func TestParseReferences(t *testing.T) {
	t.Parallel()
	good := `{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b` + sum + `"}}`
	refs, err := ParseReferences(strings.NewReader(stream(good +
		`,{"name":"alias","from":{"kind":"ImageStreamTag","name":"pod"}},{"name":"empty"}`)))
	if err != nil || len(refs.Components) != 1 {
		t.Errorf("%+v, %v; want the one DockerImage", refs, err)
	}
	for name, text := range map[string]string{
		"a tag":          stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b:v1"}}`),
		"a short digest": stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b@sha256:12"}}`),
		"no reference":   stream(`{"name":"pod","from":{"kind":"DockerImage","name":""}}`),
		"twice":          stream(good + "," + good),
		"no image":       stream(""),
		"another kind":   `{"kind":"List","apiVersion":"v1"}`,
		"garbage":        `{"kind"`,
		"empty":          "",
	} {
		if _, err := ParseReferences(strings.NewReader(text)); !errors.Is(err, ErrReferences) {
			t.Errorf("%s: error %v, want ErrReferences", name, err)
		}
	}
	for _, text := range []string{"", "{}", `{"kind":"cincinnati-metadata-v0"}`, `{"version":"4.12.0"}`} {
		if _, err := ParseMetadata(strings.NewReader(text)); !errors.Is(err, ErrMetadata) {
			t.Errorf("%q: error %v, want ErrMetadata", text, err)
		}
	}
}

func FuzzParseReferences(f *testing.F) {
	real, err := os.ReadFile("testdata/image-references-4.12.0.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(real)
	f.Add([]byte(stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b` + sum + `"}}`)))
	f.Add([]byte(`{"kind":"ImageStream","spec":{"tags":[{"from":null}]}}`))
	f.Add(memtest.Repeat(1<<20, `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","spec":{"tags":[`, `{"from":{}},`, `{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var refs *References
		var err error
		memtest.Hold(t, 16*int64(len(data))+32<<20, func() { refs, err = ParseReferences(bytes.NewReader(data)) })
		if err != nil {
			if !errors.Is(err, ErrReferences) {
				t.Fatal(err)
			}
			return
		}
		for _, c := range refs.Components {
			if _, d := imagelist.Split(c.Ref); d.Validate() != nil {
				t.Fatalf("component %+v has no digest", c)
			}
		}
	})
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(`{"kind":"cincinnati-metadata-v0","version":"4.12.0","previous":["4.11.9"],"metadata":{"url":"https://example.com"}}`))
	f.Add([]byte(`{"kind":"cincinnati-metadata-v0","version":1}`))
	f.Add([]byte(`{"kind":"x","version":"4.12.0","previous":null}`))
	f.Add(memtest.Repeat(1<<20, `{"kind":"cincinnati-metadata-v0","version":"4.12.0","previous":[`, `"",`, `""]}`))
	f.Add(memtest.Repeat(1<<20, `{"kind":"cincinnati-metadata-v0","version":"4.12.0","x":`, `[`, ``))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			m, err := ParseMetadata(bytes.NewReader(data))
			if err == nil && m.Version == "" || err != nil && !errors.Is(err, ErrMetadata) {
				t.Errorf("%q: %+v, %v", data, m, err)
			}
		})
	})
}
