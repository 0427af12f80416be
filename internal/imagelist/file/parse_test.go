package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

const (
	sumA = "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"
	sumB = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// refs returns the references of a list with the lines where each was found.
func refs(l *imagelist.List) []string {
	var out []string
	for _, e := range l.Entries() {
		s := e.Ref
		for _, o := range e.From {
			s += " " + o.Name
		}
		out = append(out, s)
	}
	return out
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"only comments", "# a\n\n   # b\n", nil},
		{"one", "quay.io/a/b:v1\n", []string{"quay.io/a/b:v1 l:1"}},
		{"no newline at the end", "quay.io/a/b:v1", []string{"quay.io/a/b:v1 l:1"}},
		{"white space", "\n \t quay.io/a/b:v1 \u00a0\n", []string{"quay.io/a/b:v1 l:2"}},
		{"comment behind", "quay.io/a/b:v1 # ours", []string{"quay.io/a/b:v1 l:1"}},
		{"carriage returns", "quay.io/a/b:v1\r\nquay.io/a/c:v1\r\n", []string{"quay.io/a/b:v1 l:1", "quay.io/a/c:v1 l:2"}},
		{"byte order mark", "\ufeffquay.io/a/b:v1\n", []string{"quay.io/a/b:v1 l:1"}},
		{"byte order mark and comment", "\ufeff# list\nquay.io/a/b:v1\n", []string{"quay.io/a/b:v1 l:2"}},
		{
			"duplicates",
			"quay.io/a/b:v1\nquay.io/a/b:v1\nquay.io/a/b:v2@" + sumA + "\nquay.io/a/b@" + sumA + "\n",
			[]string{"quay.io/a/b:v1 l:1 l:2", "quay.io/a/b@" + sumA + " l:3 l:4"},
		},
		{
			"as oc describe prints it",
			"    Image:         quay.io/a/b:v1\n" +
				"    Image ID:      quay.io/a/b@" + sumA + "\n" +
				"    Image:         quay.io/a/c@" + sumB + "\n" +
				"    Image ID:      \n" +
				"    Image ID:      " + sumB + "\n" +
				"    Image ID:      docker-pullable://quay.io/a/d@" + sumB + "\n",
			[]string{
				"quay.io/a/b:v1 l:1", "quay.io/a/b@" + sumA + " l:2",
				"quay.io/a/c@" + sumB + " l:3", "quay.io/a/d@" + sumB + " l:6",
			},
		},
		{"with skopeo's transport", "docker://quay.io/a/b:v1", []string{"quay.io/a/b:v1 l:1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				l, err := file.Parse(r, "l")
				if got := refs(l); err != nil || !slices.Equal(got, tt.want) {
					t.Fatalf("Parse = %q, %v, want %q", got, err, tt.want)
				}
			}
		})
	}
}

func TestParseKeepsTagAndOrigin(t *testing.T) {
	t.Parallel()
	l, err := file.Parse(strings.NewReader("\nquay.io/a/b:v1@"+sumA), "images.lst")
	if err != nil || l.Len() != 1 {
		t.Fatalf("Parse = %q, %v", refs(l), err)
	}
	e := l.Entries()[0]
	origin := bundle.Origin{Source: "file", Name: "images.lst:2"}
	if !slices.Equal(e.Names, []string{"quay.io/a/b:v1"}) || !slices.Equal(e.From, []bundle.Origin{origin}) {
		t.Fatalf("entry = %+v", e)
	}
}

func TestParseNotes(t *testing.T) {
	t.Parallel()
	app, other := "quay.io/acme/app@"+sumA, "quay.io/acme/other@"+sumB
	in := imagelist.Document{
		Release: &bundle.Release{Version: "4.17.9", Image: "quay.io/release@" + sumB}, Architectures: []string{"amd64", "arm64"},
		Images: []imagelist.Entry{
			{Ref: app, Digest: sumA, Names: []string{"quay.io/acme/app:1.2", "mirror.example/app:1.2", "not a name"}},
			{Ref: other, Digest: sumB, Names: []string{"quay.io/acme/other:v1"}},
			{Ref: "quay.io/acme/open:v1"},
		},
	}
	var text strings.Builder
	if err := in.WritePlain(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if refs := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "#") }); !slices.Equal(refs, []string{app, other}) {
		t.Errorf("without comments: %q", refs)
	}
	// In any order, as sort leaves them; without the line of an image, its name goes too.
	slices.Reverse(lines)
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == other })
	l, notes, err := file.ParseNotes(strings.NewReader(strings.Join(lines, "\r\n")+"\n# nodeseal: later words\n# release: as people write it\n"), "l")
	if err != nil || l.Len() != 1 || !slices.Equal(l.Entries()[0].Names, []string{"mirror.example/app:1.2", "quay.io/acme/app:1.2"}) {
		t.Errorf("%+v, %v", l.Entries(), err)
	}
	if notes.Release == nil || *notes.Release != *in.Release || !slices.Equal(notes.Architectures, in.Architectures) {
		t.Errorf("%+v", notes)
	}
	for _, bad := range []string{
		"", "name", "name quay.io/a/b:v1", "name quay.io/a/b:v1 quay.io/a/b:v2", "name b:v1 " + app, "name quay.io/a/b:v1 " + app + " more",
		"release", "release 4.17.9", "release 4.17.9 short", "release 4 - -",
	} {
		var all file.Errors
		if _, err := file.Parse(strings.NewReader(imagelist.Note+" "+bad), "l"); !errors.As(err, &all) || !errors.Is(err, imagelist.ErrNote) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseCollectsAllBadLines(t *testing.T) {
	t.Parallel()
	in := "busybox\nquay.io/a/b:v1\nquay.io/a/b:v1 quay.io/a/c:v1\nImage:\nquay.io/A\n" + strings.Repeat("x", file.MaxLine+10) + "\nquay.io/a/c:v1\n"
	l, err := file.Parse(strings.NewReader(in), "images.lst")
	var all file.Errors
	if !errors.As(err, &all) {
		t.Fatalf("error is %T (%v), want Errors", err, err)
	}
	var lines []int
	for _, e := range all {
		lines = append(lines, e.Line)
		if want := fmt.Sprintf("images.lst:%d: ", e.Line); !strings.HasPrefix(e.Error(), want) {
			t.Errorf("error %q does not begin with %q", e, want)
		}
		if len(e.Text) > 200 {
			t.Errorf("line %d: text of %d bytes", e.Line, len(e.Text))
		}
	}
	if want := []int{1, 3, 4, 5, 6}; !slices.Equal(lines, want) {
		t.Errorf("bad lines %v, want %v", lines, want)
	}
	if !errors.Is(err, imagelist.ErrShortName) {
		t.Errorf("%v is not ErrShortName", err)
	}
	if want := []string{"quay.io/a/b:v1 images.lst:2", "quay.io/a/c:v1 images.lst:7"}; !slices.Equal(refs(l), want) {
		t.Errorf("list %q, want %q", refs(l), want)
	}
}

func TestErrorsTextIsBounded(t *testing.T) {
	t.Parallel()
	_, err := file.Parse(strings.NewReader(strings.Repeat("busybox\n", 1000)), "l")
	if err == nil || strings.Count(err.Error(), "\n") > 30 || !strings.HasSuffix(err.Error(), "and 980 more lines") {
		t.Fatalf("error text: %v", err)
	}
}

func TestParseUTF16(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"\xff\xfeq\x00u\x00a\x00y\x00", "\xfe\xff\x00q"} {
		if _, err := file.Parse(strings.NewReader(in), "l"); !errors.Is(err, file.ErrUTF16) {
			t.Errorf("Parse(%q) = %v, want ErrUTF16", in, err)
		}
	}
}

func TestParseReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("stick pulled out")
	r := io.MultiReader(strings.NewReader("quay.io/a/b:v1\n"), iotest.ErrReader(broken))
	if _, err := file.Parse(r, "l"); !errors.Is(err, broken) {
		t.Fatalf("Parse = %v, want the reader's error", err)
	}
}

// endless gives comments without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, "# and on it goes\n"), nil }

func TestParseBoundsTheFile(t *testing.T) {
	t.Parallel()
	if _, err := file.Parse(endless{}, "l"); err == nil {
		t.Fatal("an endless list was read")
	}
}

func TestParseBoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	archs := imagelist.Note + " architectures"
	for i := range 101 {
		archs += fmt.Sprint(" a", i)
	}
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"notes", strings.Repeat(imagelist.Note+" architectures amd64 arm64\n", file.MaxLines+1), imagelist.ErrTooMany},
		{"architectures", archs, imagelist.ErrNote},
	} {
		if _, err := file.Parse(strings.NewReader(c.in), "l"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	_, err := file.Parse(strings.NewReader(strings.Repeat("busybox\n", 20_000)), "l")
	if err == nil || !strings.HasSuffix(err.Error(), "and what follows line 10000 was not read: a list has one reference a line") {
		t.Errorf("bad lines: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"quay.io/a/b:v1\n# c\n\nquay.io/a/b@" + sumA + "\r\n",
		"\ufeff  Image:   quay.io/a/b:v1\n  Image ID:  quay.io/a/b@" + sumA + "\n",
		"busybox\nImage:\nImage ID:\nImage ID: " + sumA + "\n",
		"quay.io/a/b:v1 quay.io/c:d\n\x00\xff\n",
		strings.Repeat("y", file.MaxLine+1) + "\nquay.io/a/b:v1",
		imagelist.Note + " name quay.io/a/b:v1 quay.io/a/b@" + sumA + "\nquay.io/a/b@" + sumA + "\n" + imagelist.Note + " release 4.17.9 -\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var l *imagelist.List
		var err error
		memtest.Hold(t, 128*int64(len(in))+1<<20, func() { l, err = file.Parse(bytes.NewReader(in), "l") })
		if l == nil {
			t.Fatal("no list")
		}
		var all file.Errors
		if errors.As(err, &all) && len(all) == 0 {
			t.Fatal("errors without one")
		}
		lines := strings.Count(string(in), "\n") + 1
		var plain strings.Builder
		for _, e := range l.Entries() {
			if len(e.From) == 0 || len(e.From) > lines {
				t.Fatalf("%s: found at %v", e.Ref, e.From)
			}
			plain.WriteString(e.Ref + "\n")
		}
		// What a list says is a list that says the same.
		again, err := file.Parse(strings.NewReader(plain.String()), "l")
		if err != nil || again.Len() != l.Len() {
			t.Fatalf("%q gives %d references and %v, want %d", plain.String(), again.Len(), err, l.Len())
		}
	})
}
