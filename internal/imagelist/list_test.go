package imagelist

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

const (
	sumA = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sumB = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)

func from(name string) bundle.Origin { return bundle.Origin{Source: "file", Name: name} }

func TestList(t *testing.T) {
	t.Parallel()
	var l List
	l.Add("quay.io/a/b:v1", from("1"))
	l.Add("quay.io/a/b:v1", from("1"))
	l.Add("quay.io/a/b:v1", from("2"))
	l.Add("quay.io/a/b@"+sumA, from("3"))
	l.Add("quay.io/a/c:v1", from("4"))
	if l.Len() != 3 || len(l.Unresolved()) != 2 {
		t.Errorf("%d references, unresolved %v", l.Len(), l.Unresolved())
	}
	l.Resolve("quay.io/a/b:v1", sumA)
	l.Resolve("quay.io/a/none:v1", sumA)
	want := []Entry{
		{Ref: "quay.io/a/b@" + sumA, Names: []string{"quay.io/a/b:v1"}, Digest: sumA, From: []bundle.Origin{from("3"), from("1"), from("2")}},
		{Ref: "quay.io/a/c:v1", From: []bundle.Origin{from("4")}},
	}
	if got := l.Entries(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	var other List
	other.Put(Entry{Ref: "quay.io/a/c:v1", Platforms: []string{"linux/arm64", "linux/amd64"}, From: []bundle.Origin{from("5")}})
	l.Merge(&other)
	if e := l.Entries()[1]; len(e.From) != 2 || !slices.Equal(e.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("merged %+v", e)
	}
	l.SetPlatforms([]string{"linux/s390x"})
	if e := l.Entries()[0]; !slices.Equal(e.Platforms, []string{"linux/s390x"}) {
		t.Errorf("platforms %q", e.Platforms)
	}
	var plain bytes.Buffer
	plainText := "# nodeseal: name quay.io/a/b:v1 quay.io/a/b@" + sumA + "\nquay.io/a/b@" + sumA + "\n"
	if err := (Document{Images: l.Entries()}).WritePlain(&plain); err != nil || plain.String() != plainText {
		t.Errorf("plain %q, %v", plain.String(), err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	var older, newer List
	older.Add("quay.io/a/b@"+sumA, from("1"))
	older.Add("quay.io/a/c@"+sumA, from("1"))
	newer.Add("quay.io/a/b@"+sumA, from("2"))
	newer.Add("quay.io/a/c@"+sumB, from("2"))
	c := Diff(&older, &newer)
	if len(c.Added) != 1 || c.Added[0].Digest != sumB || len(c.Removed) != 1 || c.Removed[0].Ref != "quay.io/a/c@"+sumA {
		t.Errorf("%+v", c)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	e := Entry{Ref: "quay.io/acme/app@" + sumA, Names: []string{"quay.io/acme/app:v1"}}
	for _, c := range []struct {
		include, exclude string
		keeps            bool
	}{
		{"", "", true},
		{"quay.io/acme", "", true},
		{"quay.io/acm", "", false},
		{"quay.io/acme/app", "", true},
		{"quay.io/acme/app:v1", "", true},
		{"*/app", "", true},
		{"quay.io/????/app", "", true},
		{"docker.io/*", "", false},
		{"", "quay.io/*", false},
		{"", "quay.io/acme/app:v*", false},
		{"quay.io", "*@" + sumA, false},
		{"", "quay.io/other", true},
		{"quay+io/*", "", false},
	} {
		var include, exclude []string
		if c.include != "" {
			include = []string{c.include}
		}
		if c.exclude != "" {
			exclude = []string{c.exclude}
		}
		f, err := NewFilter(include, exclude)
		if err != nil || f.Keeps(e) != c.keeps {
			t.Errorf("include %q, exclude %q: keeps %v, %v", c.include, c.exclude, f.Keeps(e), err)
		}
	}
	if _, err := NewFilter([]string{""}, nil); err == nil {
		t.Error("an empty pattern passes")
	}
	var l List
	l.Put(e)
	l.Add("quay.io/other/x:v1", from("1"))
	f, err := NewFilter([]string{"quay.io", "misspelt.example"}, []string{"quay.io/other", "quay.io/othr"})
	if got := f.Unmatched(l.Entries()); !slices.Equal(got, []string{"misspelt.example", "quay.io/othr"}) {
		t.Errorf("unmatched: %q", got)
	}
	if n := f.Apply(&l); err != nil || n != 1 || l.Len() != 1 {
		t.Errorf("dropped %d of two, %d are left: %v", n, l.Len(), err)
	}
}

func sampleDocument() Document {
	var l List
	l.Put(Entry{Ref: "quay.io/a/b@" + sumA, Names: []string{"quay.io/a/b:v1"}, Platforms: []string{"linux/amd64"}, From: []bundle.Origin{from("1")}})
	l.Add("quay.io/a/c:v1", from("2"))
	return Document{
		Format: FormatV1, Release: &bundle.Release{Version: "4.20.1"}, Architectures: []string{"amd64"}, Images: l.Entries(),
		Mirrors:    []Mirror{{Kind: "ImageTagMirrorSet", Object: "m", Source: "quay.io", Mirrors: []string{"x.example"}}},
		Signatures: []Signature{{Digest: sumA, Key: "sha256-x-1", Data: []byte("s")}},
		Problems:   []string{"p"}, Unresolved: []Unresolved{{Ref: "quay.io/a/c:v1", Error: "e"}},
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	want := sampleDocument()
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	for _, d := range []Document{want, {Format: FormatV1}, {Format: FormatV1, Images: []Entry{}}, {Format: FormatV1, Images: want.Images[:1], Problems: []string{"<\n \"images\": []>"}}} {
		var whole, streamed bytes.Buffer
		enc := json.NewEncoder(&whole)
		enc.SetIndent("", " ")
		enc.SetEscapeHTML(false)
		if err := errors.Join(enc.Encode(d), d.WriteJSON(&streamed)); err != nil || whole.String() != streamed.String() {
			t.Errorf("%s\nwant %s, %v", streamed.String(), whole.String(), err)
		}
	}
	got, err := ReadDocument(&text)
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	if !reflect.DeepEqual(got.List().Entries(), want.Images) {
		t.Error("the list of the document is another one")
	}
	for name, text := range map[string]string{
		"garbage":        `{"format"`,
		"another format": `{"format": "nodeseal list v2", "images": []}`,
		"no reference":   `{"format": "nodeseal list v1", "images": [{"ref": ""}]}`,
		"a bad digest":   `{"format": "nodeseal list v1", "images": [{"ref": "quay.io/a/b:v1", "digest": "sha256:1"}]}`,
		"too many":       `{"format": "nodeseal list v1", "images": [` + strings.Repeat(`{"ref":"quay.io/a/b:v1"},`, MaxImages) + `{"ref":"quay.io/a/b:v1"}]}`,
		"no list":        `{"format": "nodeseal list v1", "images": {}}`,
		"two digests":    `{"format": "nodeseal list v1", "images": [{"ref": "quay.io/a/b@` + sumA + `", "digest": "` + sumB + `"}]}`,
	} {
		if _, err := ReadDocument(strings.NewReader(text)); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: error %v, want ErrDocument", name, err)
		}
	}
}

// A list of very many values of one entry takes time in proportion, and has bounds.
func TestLargeList(t *testing.T) {
	t.Parallel()
	var l, merged List
	for i := range MaxOrigins {
		l.Put(Entry{
			Ref: "quay.io/a/b@" + sumA, Names: []string{"quay.io/a/b:" + strconv.Itoa(i/2)},
			Platforms: []string{"linux/amd64"}, From: []bundle.Origin{from(strconv.Itoa(i))},
		})
	}
	merged.Merge(&l)
	e := merged.Entries()[0]
	if len(e.Names) != MaxOrigins/2 || len(e.From) != MaxOrigins || !slices.IsSorted(e.Names) || len(e.Platforms) != 1 || merged.Check() != nil {
		t.Errorf("%d names, %d origins, %q, %v", len(e.Names), len(e.From), e.Platforms, merged.Check())
	}
	merged.Add("quay.io/a/b@"+sumA, from("one more"))
	if err := merged.Check(); !errors.Is(err, ErrTooMany) {
		t.Errorf("one place more than allowed: %v", err)
	}
	for i := range MaxImages {
		l.Add("quay.io/a/b:"+strconv.Itoa(i), from("1"))
	}
	if n := len(merged.Entries()); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	l.remove("quay.io/a/b@" + sumA)
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	l.Add("quay.io/a/b:more", from("1"))
	if err := l.Check(); !errors.Is(err, ErrTooMany) {
		t.Errorf("one image more than allowed: %v", err)
	}
}

func FuzzReadDocument(f *testing.F) {
	d := sampleDocument()
	var text bytes.Buffer
	if err := d.WriteJSON(&text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte(`{"format": "nodeseal list v1", "images": null}`))
	f.Add(memtest.Repeat(1<<20, `{"format":"nodeseal list v1","images":[`, `{},`, `{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d *Document
		var err error
		memtest.Hold(t, 32*int64(len(data))+32<<20, func() { d, err = ReadDocument(bytes.NewReader(data)) })
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range d.List().Entries() {
			if _, err := Normalize(e.Ref); err != nil {
				t.Fatal(err)
			}
			if e.Digest != "" && digest.Digest(e.Digest).Validate() != nil {
				t.Fatalf("digest %q", e.Digest)
			}
		}
	})
}
