package kubeobject

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

func names(t *testing.T, text string) (string, error) {
	t.Helper()
	var all []string
	err := Read(strings.NewReader(text), func(o Object) error {
		all = append(all, o.String())
		return nil
	})
	return strings.Join(all, ", "), err
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"one object":      {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n"}}`, "Pod n/a"},
		"a list":          {`{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"a"}},{"kind":"Node","metadata":{"name":"b"}}]}`, "Pod a, Node b"},
		"items first":     {`{"items":[{"kind":"Pod","metadata":{"name":"a"}}],"metadata":{},"kind":"List"}`, "Pod a"},
		"an empty list":   {`{"kind":"List","items":[]}`, ""},
		"null items":      {`{"kind":"List","items":null}`, ""},
		"list in list":    {`{"kind":"List","items":[{"kind":"PodList","items":[{"kind":"Pod","metadata":{"name":"a"}}]}]}`, "Pod a"},
		"two documents":   {`{"kind":"Pod","metadata":{"name":"a"}}` + "\n" + `{"kind":"Pod","metadata":{"name":"b"}}`, "Pod a, Pod b"},
		"YAML":            {"# c\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n", "Pod a"},
		"YAML documents":  {"---\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n---\nkind: Node\nmetadata: {name: b}\n", "Pod a, Node b"},
		"marks":           {"--- # one\nkind: Pod\nmetadata: {name: a}\n--- # two\nkind: Pod\nmetadata: {name: b}\n---\t\nkind: Pod\nmetadata: {name: c}\n--- {kind: Pod, metadata: {name: d}}\n...\nkind: Pod\nmetadata: {name: e}\n--- # of a list\nitems:\n- kind: Pod\n  metadata: {name: f}\n--- {kind: Pod, metadata: {name: g}}", "Pod a, Pod b, Pod c, Pod d, Pod e, Pod f, Pod g"},
		"no marks":        {"kind: ConfigMap\nmetadata: {name: a}\n---x: b\n....: c\n", "ConfigMap a"},
		"YAML list":       {"apiVersion: v1\nitems:\n- kind: Pod\n  metadata: {name: a}\nkind: List\n", "Pod a"},
		"byte order mark": {"\xef\xbb\xbfkind: Pod\nmetadata: {name: a}\n", "Pod a"},
		"block scalar":    {"kind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    text\n", "ConfigMap a"},
	} {
		if got, err := names(t, c.text); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
	for name, text := range map[string]string{
		"cut off":     `{"kind":"List","items":[{"kind":"Pod"`,
		"no kind":     `{"metadata":{"name":"a"}}`,
		"items":       `{"kind":"List","items":{}}`,
		"array":       `[]`,
		"garbage":     `{"kind":`,
		"bad YAML":    "kind: Pod\n\tname: x\n",
		"YAML scalar": "---\nhello\n",
		"no object":   `{"kind":"List","items":["x"]}`,
		"flow twice":  "---\n{kind: Pod}\n{kind: Pod}\n",
		"odd breaks":  "kind: Pod\r---\rkind: Pod\r",
		"items twice": "kind: List\nitems: []\nitems:\n- kind: Pod\n",
		"items again": "items:\n- kind: Pod\nkind: List\nitems:\n- kind: Pod\n",
		"spec twice":  `{"kind":"Pod","spec":{},"spec":{}}`,
		"JSON items":  `{"kind":"List","items":[],"items":[{"kind":"Pod"}]}`,
	} {
		if _, err := names(t, text); !errors.Is(err, ErrObject) {
			t.Errorf("%s: error %v, want ErrObject", name, err)
		}
	}
}

// TestReadStrict: a key that stands twice is refused at any depth, the same key in two objects is not.
func TestReadStrict(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`{"kind":"X","mirror":{"a":[1],"b":["a","a",{"a":1}],"c":{"a":"a"}},"other":[]}`: true,
		"kind: X\nmirror: {a: [1], b: {a: a}}\n---\nkind: X\nmirror: {}\n":               true,
		"kind: X\nmirror: {a: []}\nmirror: {b: []}\n":                                    false,
		"kind: X\nmirror:\n  a: []\n  b: []\n  a: []\n":                                  false,
		"kind: X\nmirror:\n  a: []\n  A: []\n":                                           false,
		`{"kind":"X","mirror":{"a":[]},"mirror":{}}`:                                     false,
		`{"kind":"X","mirror":{"a":[],"b":{},"A":[]}}`:                                   false,
		`{"kind":"X","mirror":[{},{"a":"x","b":[1,{}],"a":"y"}]}`:                        false,
		"{\"kind\":\"X\",\"mirror\":{\"links\":[],\"lin\u212as\":[]}}":                   false,
	} {
		err := ReadStrict(strings.NewReader(text), func(Object) error { return nil })
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrObject) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestReadList(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	dec := func(s string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(s), 16) }
	head, err := ReadList(dec(`{"kind":"PodList","metadata":{"continue":"next"},"items":[{},{}]}`), func([]byte) error { return nil })
	if err != nil || head != (ListHead{"PodList", "next"}) {
		t.Errorf("head %+v, %v", head, err)
	}
	if _, err := ReadList(dec(`{"items":[{},{}]}`), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the one of item", err)
	}
	if _, err := ReadList(dec(``), nil); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want io.EOF", err)
	}
	if _, err := ReadList(dec(`{"items":[{}`), func([]byte) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrObject) {
		t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	const spec = `"template":{"spec":{"containers":[{"name":"c","image":"x"}]}}`
	for kind, text := range map[string]string{
		"Deployment":  `"spec":{"replicas":0,` + spec + `}`,
		"CronJob":     `"spec":{"jobTemplate":{"spec":{` + spec + `}}}`,
		"PodTemplate": spec,
	} {
		o, err := Parse([]byte(`{"kind":"`+kind+`",`+text+`}`), "", "")
		if err != nil {
			t.Fatal(err)
		}
		w, ok, err := o.Template()
		if err != nil || !ok || len(w.Template.Spec.Containers) != 1 {
			t.Errorf("%s: %+v %v %v", kind, w, ok, err)
		}
	}
	o, err := Parse([]byte(`{}`), "v1", "Pod")
	if err != nil || o.Kind != "Pod" || o.GroupKind() != "Pod" {
		t.Errorf("an item of a typed list: %+v %v", o, err)
	}
	if _, ok, _ := o.Template(); ok {
		t.Error("a pod makes no pods")
	}
}

func TestSniff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Form{
		"":                                 Plain,
		"quay.io/a/b:v1\n":                 Plain,
		"# list\nquay.io/a/b:v1\n":         Plain,
		"kind.example/a:1\n":               Plain,
		"\n {\"kind\"":                     JSON,
		"[]":                               JSON,
		"--- # c\nquay: 1\n":               YAML,
		"---\t{a: b}\n":                    YAML,
		"---\n":                            YAML,
		"apiVersion: v1\n":                 YAML,
		"# from oc\nitems:\n":              YAML,
		"- apiVersion: v1\n":               YAML,
		"\xef\xbb\xbfkind: List\n":         YAML,
		"registry:5000/a@sha256:00\nkind:": Plain,
	} {
		if got := Sniff([]byte(text)); got != want {
			t.Errorf("Sniff(%q) = %d, want %d", text, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"List","items":[{"kind":"Pod"}]}`, "kind: Pod\n---\nkind: Node\n", `{"items":null}`, "items:\n- kind: X\n", "[", "{", "- {",
		"kind: &a [*a]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		memtest.Hold(t, 256*int64(len(data))+32<<20, func() {
			err = Read(strings.NewReader(string(data)), func(o Object) error {
				if o.Kind == "" || !json.Valid(o.Raw) {
					t.Fatalf("object %+v", o)
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, ErrObject) {
			t.Fatal(err)
		}
	})
}
