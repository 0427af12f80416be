package kubeobject

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// endless repeats a text to a length.
type endless struct {
	each string
	off  int
	left int
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), e.left)], e.each[e.off:])
	e.off = (e.off + n) % len(e.each)
	e.left -= n
	return n, nil
}

func times(each string, size int) io.Reader {
	return &endless{each: strings.Repeat(each, 1+64<<10/len(each)), left: size / len(each) * len(each)}
}

func text(s string) io.Reader { return strings.NewReader(s) }

// Whatever is read, memory is bounded by one object.
func TestReadBombs(t *testing.T) {
	const size = 32 << 20
	for name, c := range map[string]struct {
		parts []io.Reader
		most  int64 // allocated in all, in bytes
		ok    bool
	}{
		"blanks":                   {[]io.Reader{times(" ", size)}, 8 << 20, true},
		"lines":                    {[]io.Reader{times("\n", size)}, 8 << 20, true},
		"blanks before JSON":       {[]io.Reader{text(`{`), times(" ", size), text(`"kind":"Pod"}`)}, 8 << 20, true},
		"blanks in an item":        {[]io.Reader{text(`{"items":[{`), times(" ", size), text(`}]}`)}, 128 << 20, false},
		"a long string":            {[]io.Reader{text(`{"kind":"`), times("x", size), text(`"}`)}, 128 << 20, false},
		"members without end":      {[]io.Reader{text(`{"kind":"List",`), times(`"":1,`, size), text(`"":1}`)}, 1 << 30, false},
		"brackets":                 {[]io.Reader{text(`{"kind":"Pod","a":`), times("[", size)}, 128 << 20, false},
		"empty objects in one":     {[]io.Reader{text(`{"items":[{"kind":"Pod","spec":{"containers":[`), times("{},", 8<<20), text(`{}]}}]}`)}, 128 << 20, false},
		"one line of YAML":         {[]io.Reader{text("kind: "), times("x", size)}, 128 << 20, false},
		"empty lists in YAML":      {[]io.Reader{text("kind: Pod\na:\n"), times("- \n", 8<<20)}, 256 << 20, false},
		"flow lists in YAML":       {[]io.Reader{text("kind: Pod\na: ["), times("a,", 8<<20), text("]\n")}, 256 << 20, false},
		"a block scalar in YAML":   {[]io.Reader{text("kind: Pod\na: |\n"), times("  a,a,a,a,a\n", 2<<20)}, 256 << 20, true},
		"a long object in YAML":    {[]io.Reader{text("kind: Pod\na: |\n"), times("  a,a,a,a,a\n", size)}, 256 << 20, false},
		"a line of blanks in YAML": {[]io.Reader{text("kind: Pod\n"), times(" ", size), text("\na: b\n")}, 64 << 20, true},
	} {
		var err error
		took := memtest.Allocated(func() {
			err = Read(io.MultiReader(c.parts...), func(Object) error { return nil })
		})
		if (err == nil) != c.ok || took > c.most {
			t.Errorf("%s: %d MiB, %v", name, took>>20, err)
		}
		if err != nil && !errors.Is(err, ErrObject) {
			t.Errorf("%s: an error of its own: %v", name, err)
		}
	}
}

// Every object of nested lists is read, however long they are.
func TestNestedLists(t *testing.T) {
	pod := func(i int) string {
		size := 10
		if i >= 10 {
			size = 1 << 20
		}
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d"},"spec":{"x":"%s"}}`, i, strings.Repeat("x", size))
	}
	var many []string
	for i := range 20 {
		many = append(many, pod(10+i))
	}
	list := func(items string) string { return `{"apiVersion":"v1","items":[` + items + `],"kind":"List"}` }
	long := list(strings.Join(many, ","))
	yamlItem := "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: p\n  spec:\n    x: |\n      - kind: Pod\n    # a comment\n\n"
	for name, c := range map[string]struct {
		doc  string
		want int
	}{
		"a list":                   {list(pod(0) + "," + pod(1)), 2},
		"a list in a list":         {list(list(pod(0)) + "," + pod(1)), 2},
		"four deep":                {list(list(list(list(pod(0)+","+pod(1)))) + "," + pod(2)), 3},
		"no items":                 {list(`{"kind":"PodList","apiVersion":"v1"}`), 0},
		"a long list in a list":    {list(long + "," + pod(1)), 21},
		"two long lists":           {long + "\n" + list(long) + pod(2), 41},
		"a long list three deep":   {list(list(long) + "," + pod(1)), 21},
		"YAML":                     {"apiVersion: v1\nitems:\n" + strings.Repeat(yamlItem, 3) + "kind: List\nmetadata:\n  resourceVersion: \"\"\n", 3},
		"YAML with the kind first": {"kind: List\napiVersion: v1\nitems:\n" + strings.Repeat(yamlItem, 3) + "metadata: {}\n---\nkind: Pod\n", 4},
		"YAML, indented":           {"items:\n  " + strings.ReplaceAll(strings.TrimSpace(strings.Repeat(yamlItem, 2)), "\n", "\n  ") + "\nkind: List\n", 2},
		"YAML, a list in a list":   {"items:\n- kind: List\n  items:\n  - kind: Pod\n  - kind: Pod\n- kind: Pod\nkind: List\n", 3},
		"YAML, a dash alone":       {"items:\n-\n  kind: Pod\n- {kind: Pod}\n", 2},
		"YAML, no items":           {"items: []\nkind: List\n", 0},
		"YAML, null items":         {"items:\nkind: List\n", 0},
		"YAML, a long list":        {"items:\n" + strings.Repeat(yamlItem, 3_000) + "kind: List\n", 3_000},
	} {
		got := 0
		err := Read(strings.NewReader(c.doc), func(o Object) error {
			if o.Kind != "Pod" {
				t.Errorf("%s: a %s", name, o.Kind)
			}
			got++
			return nil
		})
		if err != nil || got != c.want {
			t.Errorf("%s: %d objects, want %d: %.300v", name, got, c.want, err)
		}
	}
	deep := pod(0)
	for range 12 {
		deep = list(deep)
	}
	if err := Read(strings.NewReader(deep), func(Object) error { return nil }); !errors.Is(err, ErrObject) {
		t.Errorf("12 deep: %v", err)
	}
	if err := Read(strings.NewReader("items:\n  a: b\n"), func(Object) error { return nil }); !errors.Is(err, ErrObject) {
		t.Errorf("items that are no list: %v", err)
	}
}
